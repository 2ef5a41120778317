"""The installed interrogations, loaded again when the files in their folder change."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from derive.errors import ConfigurationError
from derive.interrogations.loaded_interrogation import LoadedInterrogation
from derive.interrogations.packages import FILES
from derive.interrogations.registry import Registry

log = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
"""How often the files are looked at. A change is loaded once two looks in a row found the same, so that a folder that
is being written is not read half-way."""

_Files = tuple[tuple[str, int, int, int], ...]


class LiveRegistry:
    """``current`` is the registry to use now; any thread may read it.

    ``accept`` is asked about each interrogation before it is used, and answers why not, or None: a worker registers
    definitions by it. With ``keep_last_good`` an interrogation that breaks or disappears stays as it was; otherwise it
    is in ``current.broken``, or unknown. Raises ConfigurationError if the folder cannot be read.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        accept: Callable[[LoadedInterrogation], str | None] = lambda _: None,
        keep_last_good: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._accept = accept
        self._keep_last_good = keep_last_good
        self._clock = clock
        self._lock = threading.Lock()
        self._next_look = clock() + CHECK_SECONDS
        self._loaded_files = self._seen_files = _files_of(folder)
        self._promoted: Mapping[str, str] = {}
        self.current = self._load(None)

    def promote(self, promoted: Mapping[str, str]) -> None:
        """Use these promoted definitions, by key, from now on; of the other keys the highest version is live."""
        if promoted != self._promoted:
            with self._lock:
                self._promoted = promoted
                self.current = self.current.with_promoted(promoted)

    def refresh(self) -> bool:
        """Load what changed; return whether anything did. Looks at the files every two seconds at most.

        Raises what ``accept`` raises, and tries again the next time.
        """
        if self._folder is None or self._clock() < self._next_look or not self._lock.acquire(blocking=False):
            return False
        try:
            self._next_look = self._clock() + CHECK_SECONDS
            files = _files_of(self._folder)
            is_settled, self._seen_files = files == self._seen_files, files
            if files == self._loaded_files or not is_settled:
                return False
            try:
                self.current = self._load(self.current)
            except ConfigurationError as error:
                log.error("interrogations.not_reloaded", extra={"error": str(error)})
            self._loaded_files = files  # not before: what ``accept`` raises is asked again
            return True
        finally:
            self._lock.release()

    def _load(self, before: Registry | None) -> Registry:
        found = Registry.load(self._folder)
        broken = dict(found.broken)
        for one in found.all():
            if one.key not in broken and (before is None or _is_new(one, before)):
                why = self._accept(one)
                if why is not None:
                    broken[one.key] = f"{one.where}: {why}"
        for key, why in broken.items():
            log.error("interrogation.broken", extra={"interrogation_key": key, "error": why})
        good = [one for one in found.all() if one.key not in broken]
        for one in good:
            if before is None or _is_new(one, before):
                _log(one, is_reloaded=before is not None)
        kept: list[LoadedInterrogation] = []
        if before is not None and self._keep_last_good:
            keys = {one.key for one in good}
            kept = [one for one in before.all() if one.key not in keys]
        return Registry(
            [*good, *kept],
            broken={key: why for key, why in broken.items() if key not in {one.key for one in kept}},
            promoted=self._promoted,
        )


def _is_new(interrogation: LoadedInterrogation, before: Registry) -> bool:
    return before.with_definition(interrogation.definition.definition_sha256) is None


def _log(interrogation: LoadedInterrogation, *, is_reloaded: bool) -> None:
    keys = {"interrogation_key": interrogation.key, "version": interrogation.version}
    if is_reloaded:
        log.info("interrogation.reloaded", extra=keys)
    for warning in interrogation.warnings:
        log.warning("interrogation.lint", extra=keys | {"warning": str(warning)})


def _files_of(folder: Path | None) -> _Files:
    """Return name, time, size and inode of each file that a registry would read."""
    found = []
    for file in sorted(folder.glob("*/*")) if folder is not None else ():
        try:
            if file.name in FILES:
                stat = file.stat()
                found.append((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            continue
    return tuple(found)
