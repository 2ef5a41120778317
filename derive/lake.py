"""The lake: stores every byte of every attempt once, at a deterministic path, hashed and listed in a manifest.

Paths (``lake_uri``) are relative to the lake's root; ``lake_stores.paths`` defines the valid ones. A file appears
completely or not at all and is never overwritten with other bytes. A run's manifest appears last, when everything it
lists is durable.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID, uuid5

from pydantic import ValidationError

from derive.contracts import ArtifactFacts, Manifest, ManifestFile
from derive.errors import LakeError, LakeFileMissing, LakeFileTooLarge, LakePathRefused, LakeUnavailable
from derive.lake_stores import paths
from derive.lake_stores.folder import OpenFolder, hash_of, read_bounded
from derive.lake_stores.identity import IDENTITY_NAME, MAX_IDENTITY_BYTES, decode_identity, encode_identity
from derive.lake_stores.paths import RUNS_FOLDER, check_name, check_uri
from derive.lake_stores.store import Entry, SpoolFile, Store
from derive.lake_stores.urls import open_store

MANIFEST_NAME = "manifest.json"
RESPONSE_STREAM_NAME = "response.ndjson"
SSE_RESPONSE_STREAM_NAME = "response.sse"
"""The raw answer of a server with Ollama's protocol (NDJSON) or the OpenAI-compatible one (SSE)."""

ARTIFACTS: Mapping[str, tuple[str, str]] = {
    "request.json": ("request_json", "application/json"),
    RESPONSE_STREAM_NAME: ("response_stream", "application/x-ndjson"),
    SSE_RESPONSE_STREAM_NAME: ("response_stream", "text/event-stream"),
    "response.json": ("response_json", "application/json"),
    "evidence.json": ("evidence_bundle", "application/json"),
    "prompt.txt": ("prompt_text", "text/plain; charset=utf-8"),
    "output.json": ("parsed_output", "application/json"),
    "validation.json": ("validation_report", "application/json"),
    "model.json": ("model_snapshot", "application/json"),
    "correction.json": ("correction", "application/json"),
    "parts.json": ("parts", "application/json"),
    MANIFEST_NAME: ("manifest", "application/json"),
}
"""The files a run may store: file name to ``artifact_type`` and media type."""

_OTHER = ("file", "application/octet-stream")
MAX_MANIFEST_BYTES = 1 << 20

BuildManifest = Callable[[tuple[ManifestFile, ...]], Manifest]


class Spool:
    """A file of a run that is written and hashed as its bytes arrive.

    As a context manager, it is abandoned on exit unless it was finished. Not thread-safe.
    """

    def __init__(self, lake: "Lake", folder: str, name: str, file: SpoolFile) -> None:
        self.folder = folder
        self.name = name
        self.byte_count = 0
        self._lake = lake
        self._file = file
        self._hash = hashlib.sha256()
        self._is_open = True
        self._lost: LakeUnavailable | None = None

    def write(self, data: bytes) -> None:
        """Append the bytes. Raises ValueError if the spool was already finished or abandoned.

        Raises LakeUnavailable if the bytes could not be written, or only some of them; the spool can then no longer be
        finished, since its content is unknown.
        """
        self._check_usable()
        try:
            self._file.write(data)
        except LakeUnavailable as error:
            self._lost = error
            raise
        self._hash.update(data)
        self.byte_count += len(data)

    def finish(self) -> ManifestFile:
        """Give the file its final name, durably. The spool cannot be used afterwards, even if this fails.

        Raises LakeConflict and LakeUnavailable (also if a write failed before).
        """
        return self._lake.write_run(self.folder, {}, spool=self)[0]

    def abandon(self) -> None:
        """Remove what was written unless the file is finished; may be repeated, never raises."""
        self._is_open = False
        self._file.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.abandon()

    def hand_over(self) -> tuple[SpoolFile, ManifestFile]:
        """Return the spooled file and its facts, for ``Lake.write_run``; the spool then accepts no more bytes."""
        self._check_usable()
        self._is_open = False
        return self._file, _facts(self.name, self.byte_count, self._hash.hexdigest())

    def _check_usable(self) -> None:
        if not self._is_open:
            raise ValueError(f"the spool of {self.name} was finished or abandoned before")
        if self._lost:
            raise LakeUnavailable(f"Bytes of {self.name} were lost before. {self._lost}") from self._lost


class Lake:
    """The interface of the lake. Thread-safe.

    Every method may raise LakeUnavailable (the lake as a whole does not work) and LakePathRefused (an invalid name, or
    a symbolic link in the path).
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_identified = False

    @classmethod
    def open(cls, url: str) -> Self:
        """Return the lake at a URL: a path, ``file://``, ``memory://``, ``s3://`` or ``abfs://``.

        Does not access it yet; call ``probe`` to test it. Raises ConfigurationError.
        """
        return cls(open_store(url))

    @staticmethod
    def run_folder(started_utc: datetime, run_id: UUID) -> str:
        """Return the folder of a run: ``llm_runs/{yyyy}/{mm}/{dd}/{run_id}``, the UTC day of ``started_utc``."""
        return paths.run_folder(started_utc, run_id)

    def write(self, folder: str, name: str, data: bytes) -> ManifestFile:
        """Write one file durably. Writing the same bytes again is allowed; other bytes raise LakeConflict."""
        return self.write_run(folder, {name: data})[0]

    def write_all(self, folder: str, files: Mapping[str, bytes]) -> list[ManifestFile]:
        """Write several files of one folder, as ``write`` does; they appear, and their facts are returned, in order.

        On LakeConflict, the files before the conflicting one have been written.
        """
        return self.write_run(folder, files)

    def write_run(
        self,
        folder: str,
        files: Mapping[str, bytes],
        *,
        spool: Spool | None = None,
        manifest: BuildManifest | None = None,
    ) -> list[ManifestFile]:
        """Write all files of a run and return their facts in order: the spooled file, ``files``, the manifest.

        This is the cheapest way to write a run: each file is synced once, the folder twice. ``manifest`` builds the
        manifest from the facts of the other files, and it appears when those are durable. The spool cannot be used
        afterwards, even if this fails. Raises LakeConflict.
        """
        check_uri(folder)
        if spool is not None and spool.folder != folder:
            raise ValueError(f"the spool is of {spool.folder}, not of {folder}")
        with spool or contextlib.nullcontext():
            written = []
            spooled = None
            if spool is not None:
                spooled, facts = spool.hand_over()
                written.append(facts)
            written += [_hash_bytes(check_name(name), data) for name, data in files.items()]
            last = {} if manifest is None else {MANIFEST_NAME: _encode_manifest(manifest(tuple(written)))}
            if last.keys() & files.keys():
                raise ValueError(f"{MANIFEST_NAME} stands among the files, and a manifest is to be built")
            self._store.put(folder, files, spooled=spooled, last=last)
        return written + [_hash_bytes(name, data) for name, data in last.items()]

    def write_manifest(self, folder: str, manifest: Manifest) -> ManifestFile:
        """Write a run's manifest, after everything it lists has been written. Raises LakeConflict."""
        return self.write(folder, MANIFEST_NAME, _encode_manifest(manifest))

    def spool(self, folder: str, name: str) -> Spool:
        """Begin a file whose bytes arrive over time; it has a hidden name until it is finished."""
        check_uri(folder)
        check_name(name)
        return Spool(self, folder, name, self._store.spool(folder, name))

    def read_unfinished(self, folder: str, name: str, *, max_bytes: int) -> tuple[bytes, int] | None:
        """Return the last bytes, at most ``max_bytes``, and the size of a file that a spool is writing now.

        None if there is none, or if the store cannot show a file before it is finished: object stores cannot.
        """
        check_uri(folder)
        return self._store.read_unfinished(folder, check_name(name), max_bytes=max_bytes)

    def open_file(self, uri: str) -> BinaryIO:
        """Open a file for reading; the caller closes it. Raises LakeFileMissing."""
        check_uri(uri)
        return self._store.open_file(uri)

    def read(self, uri: str, *, max_bytes: int | None = None) -> bytes:
        """Return a file's bytes. Raises LakeFileMissing, and LakeFileTooLarge beyond ``max_bytes``."""
        with self._reading(uri) as stream:
            return read_bounded(stream, uri, max_bytes)

    def read_start(self, uri: str, *, max_bytes: int) -> tuple[bytes, int]:
        """Return at most the first ``max_bytes`` bytes of a file, and the file's size. Raises LakeFileMissing."""
        with self._reading(uri) as stream:
            return stream.read(max_bytes), stream.seek(0, 2)

    def hash_file(self, uri: str) -> tuple[str, int]:
        """Return the SHA-256 (64 hex) and the size of a file, in constant memory. Raises LakeFileMissing."""
        with self._reading(uri) as stream:
            return hash_of(stream)

    @contextlib.contextmanager
    def _reading(self, uri: str) -> Iterator[BinaryIO]:
        check_uri(uri)
        with self._store.reading(uri), self._store.open_file(uri) as stream:
            yield stream

    def read_manifest(self, folder: str) -> Manifest:
        """Return a run's manifest. Raises LakeFileMissing, and LakeError if the file is not a manifest."""
        uri = f"{folder}/{MANIFEST_NAME}"
        data = self.read(uri, max_bytes=MAX_MANIFEST_BYTES)
        try:
            return Manifest.model_validate_json(data)
        except ValidationError as error:
            raise LakeError(f"{uri} in the lake is not a manifest ({error.error_count()} faults)") from error

    def list_folder(self, folder: str) -> list[Entry]:
        """Return a folder's entries sorted by name, without files still being written; empty if it does not exist."""
        with self.open_folder(folder) as opened:
            return list(opened.entries.values())

    def list_root(self) -> list[Entry]:
        """Return the entries of the lake's root, as ``list_folder`` does for the folders below it."""
        with OpenFolder(self._store, "") as opened:
            return list(opened.entries.values())

    def write_at_root(self, name: str, data: bytes) -> ManifestFile:
        """Write one file directly below the root, as ``write`` does below a folder."""
        self._store.put("", {check_name(name): data})
        return _hash_bytes(name, data)

    def open_folder(self, folder: str) -> OpenFolder:
        """Open a folder to read several of its files; the caller closes it."""
        check_uri(folder)
        return OpenFolder(self._store, folder)

    def folders(self) -> Iterator[str]:
        """Yield every folder of the lake that holds files, the root as the empty path, parents before children."""
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            with OpenFolder(self._store, folder) as opened:
                entries = opened.entries.values()
            if any(not entry.is_folder for entry in entries):
                yield folder
            below = [f"{folder}/{entry.name}" if folder else entry.name for entry in entries if entry.is_folder]
            waiting.extend(reversed(below))

    def run_folders(self, since: datetime | None = None) -> Iterator[str]:
        """Yield the folders of all runs, or of those since the UTC day of ``since`` (an aware time), oldest day first.

        Anything else below ``llm_runs/`` is skipped.
        """
        first = since.astimezone(UTC).strftime("%Y/%m/%d") if since else ""
        return self._run_folders_below(RUNS_FOLDER, first, levels=4)

    def _run_folders_below(self, folder: str, first: str, *, levels: int) -> Iterator[str]:
        for entry in self.list_folder(folder):
            uri = f"{folder}/{entry.name}"
            path = uri.removeprefix(f"{RUNS_FOLDER}/")
            if not entry.is_folder or path < first[: len(path)]:
                continue
            if levels > 1:
                yield from self._run_folders_below(uri, first, levels=levels - 1)
            elif paths.is_run_folder(uri):
                yield uri

    def delete_folder(self, uri: str) -> None:
        """Remove the folder of one run, for a purge. Does nothing if it does not exist; refuses any other path."""
        if not paths.is_run_folder(uri):
            raise LakePathRefused(f"{uri[:200]!a} is not the folder of a run ({RUNS_FOLDER}/yyyy/mm/dd/run_id)")
        self._store.delete_folder(uri)

    def read_identity(self) -> UUID | None:
        """Return the id in ``lake.json`` at the root, or None if there is no such file."""
        try:
            lake_id = decode_identity(self.read(IDENTITY_NAME, max_bytes=MAX_IDENTITY_BYTES))
        except LakeFileMissing:
            return None
        except LakeFileTooLarge:
            lake_id = None
        if lake_id is None:
            raise LakeUnavailable(
                f"The lake's {IDENTITY_NAME} holds no id: restore it, or remove it if it is not ours."
            )
        return lake_id

    def write_identity(self, lake_id: UUID) -> None:
        """Write ``lake.json``; raise LakeConflict if it already contains another id."""
        self._store.put("", {IDENTITY_NAME: encode_identity(lake_id)})

    def require_identity(self, lake_id: UUID) -> None:
        """From now on raise LakeUnavailable for a root without this id, and never create a missing root."""
        self._store.require(lake_id)
        self.is_identified = True

    def probe(self) -> None:
        """Raise LakeUnavailable, with the reason and what to do, unless the lake is writable."""
        self._store.probe()


def artifact_facts(run_id: UUID, folder: str, files: Sequence[ManifestFile]) -> tuple[ArtifactFacts, ...]:
    """Return the rows of ``llm.artifact`` for a run's files; the same files always get the same ids."""
    return tuple(
        ArtifactFacts(
            artifact_id=uuid5(run_id, file.artifact_type),
            artifact_type=file.artifact_type,
            media_type=file.media_type,
            content_sha256=file.content_sha256,
            byte_count=file.byte_count,
            lake_uri=f"{folder}/{file.name}",
        )
        for file in files
    )


def _encode_manifest(manifest: Manifest) -> bytes:
    return (manifest.model_dump_json(indent=2) + "\n").encode()


def _hash_bytes(name: str, data: bytes) -> ManifestFile:
    return _facts(name, len(data), hashlib.sha256(data).hexdigest())


def _facts(name: str, byte_count: int, content_sha256: str) -> ManifestFile:
    artifact_type, media_type = ARTIFACTS.get(name, _OTHER)
    return ManifestFile(
        name=name,
        artifact_type=artifact_type,
        media_type=media_type,
        byte_count=byte_count,
        content_sha256=content_sha256,
    )
