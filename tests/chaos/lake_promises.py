"""What the lake must hold: each file that SQL names, whole; nothing torn; and what nobody names is an orphan."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from derive.states import RunStatus
from tests.chaos.history import History
from tests.chaos.lake_files import LakeFile, LakeFiles
from tests.chaos.promises import Broken
from tests.chaos.verified import Verified

MANIFEST = "manifest.json"


def every_artifact_row_has_its_file_with_its_hash(history: History, lake: LakeFiles) -> Broken:
    for run_id, artifacts in history.artifacts_of.items():
        for row in artifacts:
            file = lake.files.get(row.lake_uri)
            if file is None:
                yield _job(history, run_id), f"{row.lake_uri} of run {run_id} is not in the lake"
            elif (file.content_sha256, file.byte_count) != (row.content_sha256, row.byte_count):
                yield _job(history, run_id), f"{row.lake_uri} of run {run_id} is not what its row says"


def every_succeeded_run_left_its_artifacts(history: History, lake: LakeFiles) -> Broken:
    for run in history.runs.values():
        names = {row.lake_uri.rpartition("/")[2] for row in history.artifacts_of.get(run.run_id, [])}
        if run.status == RunStatus.SUCCEEDED and not names >= {MANIFEST, "output.json", "response.ndjson"}:
            yield run.job_id, f"run {run.run_id} SUCCEEDED and left {sorted(names)}"


def no_file_of_the_lake_is_torn(history: History, lake: LakeFiles) -> Broken:
    """A file that bears its name is whole: what its folder's manifest lists, or, of a run that died, valid JSON."""
    listed = {uri: _listed(lake, uri) for uri, file in lake.files.items() if file.name == MANIFEST}
    for file in lake.files.values():
        of_folder = listed.get(f"{file.folder}/{MANIFEST}") or {}
        is_whole = listed[file.uri] is not None if file.name == MANIFEST else _is_whole(file, of_folder, lake)
        if not is_whole:
            yield _job(history, _run_of(file)), f"{file.uri} is torn ({file.byte_count} bytes)"
    for uri, manifest in listed.items():
        for name in manifest or ():
            if f"{lake.files[uri].folder}/{name}" not in lake.files:
                yield _job(history, _run_of(lake.files[uri])), f"{uri} lists {name}, which is not there"


def _listed(lake: LakeFiles, uri: str) -> Mapping[str, Any] | None:
    content = _parsed(lake, uri)
    return {file["name"]: file for file in content["files"]} if isinstance(content, dict) else None


def _is_whole(file: LakeFile, manifest: Mapping[str, Any], lake: LakeFiles) -> bool:
    if file.name in manifest:
        entry = manifest[file.name]
        return (file.byte_count, file.content_sha256) == (entry["byte_count"], entry["content_sha256"])
    if file.name.endswith(".json"):
        return _parsed(lake, file.uri) is not None
    return file.byte_count > 0


def _parsed(lake: LakeFiles, uri: str) -> Any:
    try:
        return json.loads(lake.path(uri).read_bytes())
    except ValueError:
        return None


def every_run_verifies_in_full(history: History, verified: Verified) -> Broken:
    for run_id, line in verified.findings:
        yield _job(history, run_id), f"verify_runs: {line}"
    ended = sum(run.status != RunStatus.RUNNING for run in history.runs.values())
    if verified.runs != ended:
        yield None, f"verify_runs looked at {verified.runs} runs of {ended}"


def verify_runs_lists_every_orphan_and_only_those(history: History, lake: LakeFiles, verified: Verified) -> Broken:
    recorded = {row.run_id for rows in history.artifacts_of.values() for row in rows if row.artifact_type == "manifest"}
    orphans = lake.folders.keys() - recorded
    for run_id in orphans - verified.orphans:
        yield _job(history, run_id), f"the folder of run {run_id} is an orphan, and verify_runs does not list it"
    for run_id in verified.orphans - orphans:
        yield _job(history, run_id), f"verify_runs calls run {run_id} an orphan, and it is none"


def _run_of(file: LakeFile) -> UUID:
    return UUID(file.folder.rpartition("/")[2])


def _job(history: History, run_id: UUID) -> UUID | None:
    run = history.runs.get(run_id)
    return run.job_id if run else None


BY_LAKE = (
    every_artifact_row_has_its_file_with_its_hash,
    every_succeeded_run_left_its_artifacts,
    no_file_of_the_lake_is_torn,
)
