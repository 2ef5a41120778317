"""What a lake file may be called."""

import os
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from derive.errors import LakeFileMissing, LakePathRefused
from derive.lake import ARTIFACTS, Lake
from derive.lake_stores.paths import MAX_NAME_BYTES, MAX_URI_BYTES, check_name, check_uri, is_run_folder, run_folder

RUN_ID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")

OUTSIDE_OR_OTHERWISE_BAD = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "//server/share",
    "../secret",
    "evidence/../../secret",
    "evidence/..",
    "evidence/./luke.txt",
    "evidence//luke.txt",
    "evidence/",
    "evidence/luke.txt\x00.json",
    "evidence\\luke.txt",
    "..\\secret",
    "\\\\server\\share",
    "%2e%2e/secret",
    "evidence/%2Fetc",
    "evidence/luke%00",
    "C:/Windows",
    "c:luke.txt",
    "evidence/luke.txt:stream",
    "file:///etc/passwd",
    "s3://bucket/key",
    "evidence/.hidden",
    ".response.ndjson.1a2b",
    "evidence/luke.txt.",
    "evidence/luke.txt ",
    " evidence/luke.txt",
    "evidence/\u00a0luke",
    "evidence/lu\nke.txt",
    "evidence/lu\x7fke.txt",
    "evidence/lu\u202eke.txt",
    "evidence/lu\u2028ke.txt",
    "evidence/lu\ud800ke.txt",
    "evidence/*.txt",
    "evidence/lu?e.txt",
    "evidence/<luke>",
    'evidence/"luke"',
    "evidence|luke",
    "CON",
    "con.txt",
    "evidence/nul",
    "evidence/Aux.tar.gz",
    "COM1",
    "lpt9.log",
    "com\u00b9",
    "conout$",
    "nul .txt",
    "x" * (MAX_NAME_BYTES + 1),
    "é" * (MAX_NAME_BYTES // 2 + 1),
    "/".join(["x" * 100] * (MAX_URI_BYTES // 100 + 1)),
]

FINE = [
    "evidence/luke.txt",
    "evidence/luke [1].txt",
    "evidence/100% luke.txt",
    "evidence/~luke",
    "evidence/Люк/ルーク.txt",
    "evidence/console.txt",
    "evidence/com10.txt",
    "evidence/a..b",
    "x" * MAX_NAME_BYTES,
]


@pytest.mark.parametrize("uri", OUTSIDE_OR_OTHERWISE_BAD, ids=ascii)
def test_a_path_that_could_leave_the_lake_is_refused(uri: str) -> None:
    with pytest.raises(LakePathRefused):
        check_uri(uri)


@pytest.mark.parametrize("uri", OUTSIDE_OR_OTHERWISE_BAD, ids=ascii)
@pytest.mark.parametrize("scheme", ["local", "memory"])
def test_no_call_of_the_lake_takes_a_refused_path(uri: str, scheme: str, tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake") if scheme == "local" else "memory://refused-paths")
    refused = pytest.raises(LakePathRefused)
    with refused:
        lake.read(uri)
    with refused:
        lake.read_start(uri, max_bytes=1)
    with refused:
        lake.open_file(uri)
    with refused:
        lake.hash_file(uri)
    with refused:
        lake.read_manifest(uri)
    with refused:
        lake.list_folder(uri)
    with refused:
        lake.delete_folder(uri)
    with refused:
        lake.write(uri, "a.txt", b"")
    with refused:
        lake.write("evidence", uri, b"")
    with refused:
        lake.spool(uri, "a.txt")
    with refused:
        lake.spool("evidence", uri)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", FINE)
def test_ordinary_names_in_any_script_are_taken(uri: str) -> None:
    assert "/".join(check_uri(uri)) == uri


def test_a_name_of_one_file_holds_no_slash() -> None:
    with pytest.raises(LakePathRefused):
        check_name("evidence/luke.txt")


@pytest.mark.parametrize("name", ARTIFACTS)
def test_every_artifact_has_a_name_that_is_taken(name: str) -> None:
    assert check_name(name) == name


def test_the_artifacts_are_those_of_the_contract() -> None:
    assert {name: kind for name, (kind, _) in ARTIFACTS.items()} == {
        "request.json": "request_json",
        "response.ndjson": "response_stream",
        "response.sse": "response_stream",
        "response.json": "response_json",
        "evidence.json": "evidence_bundle",
        "prompt.txt": "prompt_text",
        "output.json": "parsed_output",
        "validation.json": "validation_report",
        "model.json": "model_snapshot",
        "correction.json": "correction",
        "parts.json": "parts",
        "manifest.json": "manifest",
    }


@given(st.text())
@example("..")
@example("a/../../b")
def test_what_is_taken_stays_below_the_root(uri: str) -> None:
    try:
        parts = check_uri(uri)
    except LakePathRefused:
        return
    path = os.path.normpath("/lake/" + uri)
    assert path == "/lake/" + uri
    assert all(parts)
    assert not any(unicodedata.category(character).startswith("C") and character < "\x80" for character in uri)
    uri.encode()


@given(st.text(max_size=20), st.sampled_from(["..", ".", "", "\\", "\x00", "%2e%2e", "C:", "nul"]))
def test_one_invalid_part_makes_the_whole_path_invalid(text: str, bad: str) -> None:
    for uri in (f"{bad}/{text}", f"{text}/{bad}", f"{text}/{bad}/{text}"):
        with pytest.raises(LakePathRefused):
            check_uri(uri)


@given(st.text())
def test_a_message_about_a_refused_path_is_one_line_that_can_be_printed(uri: str) -> None:
    try:
        check_uri(uri)
    except LakePathRefused as error:
        message = str(error)
        message.encode()
        assert message.isprintable()


def test_a_run_folder_is_named_after_the_utc_day_and_the_run() -> None:
    late_in_new_york = datetime(2026, 11, 22, 20, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert run_folder(late_in_new_york, RUN_ID) == f"llm_runs/2026/11/23/{RUN_ID}"
    assert Lake.run_folder(datetime(987, 1, 2, tzinfo=UTC), RUN_ID) == f"llm_runs/0987/01/02/{RUN_ID}"


def test_a_naive_time_has_no_day() -> None:
    with pytest.raises(ValueError, match="aware"):
        run_folder(datetime(2026, 11, 22), RUN_ID)  # noqa: DTZ001 - the very thing that is refused


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_every_run_folder_is_a_path_and_is_recognised(moment: datetime, run_id: UUID) -> None:
    folder = run_folder(moment, run_id)
    assert is_run_folder(folder)
    check_uri(folder)


@pytest.mark.parametrize(
    "uri",
    [
        "llm_runs",
        "llm_runs/2026/11/23",
        f"llm_runs/2026/11/23/{RUN_ID}/manifest.json",
        f"llm_runs/2026/11/23/{RUN_ID}/",
        f"llm_runs/2026/11/23/{RUN_ID}\n",
        f"evidence/2026/11/23/{RUN_ID}",
        f"llm_runs/2026/11/../{RUN_ID}",
        f"llm_runs/2026/11/23/{str(RUN_ID).upper()}",
    ],
)
def test_only_the_folder_of_a_run_can_be_deleted(uri: str, tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    with pytest.raises(LakePathRefused):
        lake.delete_folder(uri)


def test_a_path_that_is_taken_but_names_nothing_is_missing(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    for uri in FINE:
        with pytest.raises(LakeFileMissing):
            lake.read(uri)
