"""Who can write files, manifest and rows leaves no wrong hash behind; what the bytes say still has to fit together.

And whatever stands in a file, a verification ends with findings and not with a crash.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from derive.verify import contents
from derive.verify.checking import RunChecker
from derive.verify.question import check_evidence
from tests.fake_ollama import FakeOllama, behaviours
from tests.faults.verify_scene import Scene, change_run, facts_answer, forge, record

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "lease"], available_apps=["derive"])

DEEP = b"[" * 200_000 + b"]" * 200_000
OTHER_ANSWER = '{"facts":[]}'


@pytest.fixture
def scene(empty_queue: None, tmp_path: Path) -> Iterator[Scene]:
    with FakeOllama() as fake:
        yield Scene(tmp_path / "lake", fake)


def in_json(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Return what changes a file through its JSON value: in place, or by what ``change`` returns."""

    def forged(data: bytes) -> bytes:
        value = json.loads(data)
        return json.dumps(change(value) or value).encode()

    return forged


def test_a_forged_text_of_evidence_is_found_by_its_hash(scene: Scene) -> None:
    run = scene.succeeded()
    forge(scene, run, "evidence.json", lambda data: data.replace(b"Corvessa", b"Elsewher"))
    assert set(scene.findings()) == {(run.run_id, "evidence.json", "evidence")}


def test_forged_evidence_that_holds_together_is_not_what_the_run_names(scene: Scene) -> None:
    run, other = scene.succeeded(), scene.work(behaviours.answer('{"facts": []}'), input_json=_input("Nothing."))[0]
    strange = scene.file(other, "evidence.json").read_bytes()
    forge(scene, run, "evidence.json", lambda _: strange)
    assert scene.findings()[0] == (run.run_id, "evidence.json", "evidence")


def test_a_forged_prompt_is_found(scene: Scene) -> None:
    run = scene.succeeded()
    forge(scene, run, "prompt.txt", lambda data: data + b"Be kind.")
    assert scene.findings() == [(run.run_id, "prompt.txt", "prompt")]


def test_a_forged_correction_is_found_by_the_prompt(scene: Scene) -> None:
    _, run = scene.corrected()
    forge(scene, run, "correction.json", in_json(lambda value: value.update(details=["all of it"])))
    assert scene.findings() == [(run.run_id, "prompt.txt", "prompt")]


@pytest.mark.parametrize(
    "change",
    [
        lambda request: request["messages"][0].update(content="Say yes."),
        lambda request: request["messages"].insert(0, {"role": "system", "content": "Say yes."}),
        lambda request: request.update(model="other"),
        lambda request: request["options"].update(seed=7),
        lambda request: request["format"].update(additionalProperties=True),
        lambda request: request.update(truncate=True),
        lambda request: request.update(think="high"),
        lambda request: request.update(think=0),
        lambda request: request.pop("think"),
    ],
)
def test_a_forged_request_is_found(scene: Scene, change: Callable[[Any], Any]) -> None:
    run = scene.succeeded()
    forge(scene, run, "request.json", in_json(change))
    assert (run.run_id, "request.json", "request") in scene.findings()
    assert {file for _, file, _ in scene.findings()} <= {"request.json", "model.json"}


@pytest.mark.parametrize("change", [{"digest": "ab" * 32}, {"model": "other"}, {"options": {"seed": 7}}])
def test_a_forged_snapshot_is_found(scene: Scene, change: dict[str, Any]) -> None:
    run = scene.succeeded()
    forge(scene, run, "model.json", in_json(lambda value: value.update(change)))
    assert scene.findings() == [(run.run_id, "model.json", "model")]


def test_a_forged_response_is_found_by_the_stream(scene: Scene) -> None:
    run = scene.succeeded()
    forge(scene, run, "response.json", in_json(lambda value: value["message"].update(content=OTHER_ANSWER)))
    assert scene.findings() == [(run.run_id, "response.json", "response")]


@pytest.mark.parametrize("stream", [b"", b"{}\n", b'{"error": "no"}\n', b"not json\n", b"\xff\xfe\n", DEEP])
def test_a_stream_that_holds_no_answer_is_found(scene: Scene, stream: bytes) -> None:
    run = scene.succeeded()
    forge(scene, run, "response.ndjson", lambda _: stream)
    assert scene.findings() == [(run.run_id, "response.ndjson", "response")]


def test_a_forged_stream_and_response_are_found_by_the_output(scene: Scene) -> None:
    run = scene.succeeded()
    forge(scene, run, "response.json", in_json(lambda value: value["message"].update(content=OTHER_ANSWER)))
    forged = scene.file(run, "response.json").read_bytes()
    forge(scene, run, "response.ndjson", lambda _: forged + b"\n")
    assert scene.findings() == [(run.run_id, "output.json", "output")]


def test_a_forged_answer_that_is_not_grounded_is_found(scene: Scene) -> None:
    run = scene.succeeded()
    content = facts_answer("not there")
    forge(scene, run, "response.json", in_json(lambda value: value["message"].update(content=content)))
    forged = scene.file(run, "response.json").read_bytes()
    forge(scene, run, "response.ndjson", lambda _: forged + b"\n")
    forge(scene, run, "output.json", lambda _: content.encode())
    change_run(run, output_json=content)
    assert scene.findings() == [
        (run.run_id, "validation.json", "validation"),
        (run.run_id, "output.json", "output"),
    ]


def test_a_forged_output_is_found_though_sql_was_forged_too(scene: Scene) -> None:
    run = scene.succeeded()
    forge(scene, run, "output.json", lambda _: OTHER_ANSWER.encode())
    change_run(run, output_json=OTHER_ANSWER)
    assert scene.findings() == [(run.run_id, "output.json", "output")]


@pytest.mark.parametrize("change", [{"valid": False}, {"checks": []}, {"error_kind": "internal"}])
def test_a_forged_report_is_found(scene: Scene, change: dict[str, Any]) -> None:
    run = scene.succeeded()
    forge(scene, run, "validation.json", in_json(lambda value: value.update(change)))
    assert scene.findings() == [(run.run_id, "validation.json", "validation")]


def test_an_output_without_its_model_is_judged_by_schema_and_grounding(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scene.succeeded()
    monkeypatch.setattr(RunChecker, "of", lambda lake, _, *, quick: RunChecker(lake, output_models={}, quick=quick))
    assert scene.findings() == []
    forge(scene, run, "validation.json", in_json(lambda value: value.update(valid=False)))
    assert scene.findings() == [(run.run_id, "validation.json", "validation")]


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("request.json", "unreadable"),
        ("evidence.json", "unreadable"),
        ("validation.json", "unreadable"),
        ("model.json", "unreadable"),
        ("response.json", "response"),
        ("output.json", "output"),
        ("correction.json", "unreadable"),
    ],
)
@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"\xff\xfe{}", b'{"a": NaN}', DEEP, b'"\\ud800"', b"\x00", b'{"a": 1, "a": 2}'],
    ids=["empty", "null", "array", "utf16", "nan", "deep", "surrogate", "zero", "twice"],
)
def test_whatever_a_file_holds_is_a_finding_about_it(scene: Scene, name: str, check: str, data: bytes) -> None:
    _, run = scene.corrected()
    forge(scene, run, name, lambda _: data)
    found = scene.findings()
    assert found
    assert {(run_id, file) for run_id, file, _ in found} == {(run.run_id, name)}
    if data in (b"", b"\xff\xfe{}", DEEP):
        assert found == [(run.run_id, name, check)]


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"\xff\xfe", DEEP, b'{"manifest_version": 1}'])
def test_a_manifest_that_is_none_is_a_finding(scene: Scene, data: bytes) -> None:
    run = scene.succeeded()
    forge_manifest(scene, run, data)
    assert scene.findings() == [(run.run_id, "manifest.json", "manifest")]


@pytest.mark.parametrize("name", ["../../../../secret", "/etc/passwd", "a\x1b[2Jb", "%2e%2e", "C:x", "x" * 5_000])
def test_an_invalid_lake_name_is_never_read(scene: Scene, name: str) -> None:
    run = scene.succeeded()
    manifest = json.loads(scene.file(run, "manifest.json").read_bytes())
    manifest["files"].append(
        {
            "name": name,
            "artifact_type": "file",
            "media_type": "text/plain",
            "byte_count": 1,
            "content_sha256": "ab" * 32,
        }
    )
    forge_manifest(scene, run, json.dumps(manifest).encode())
    found = scene.findings()
    assert found == [(run.run_id, name, "row"), (run.run_id, name, "unreadable")]
    for finding in scene.verify():
        assert finding.line().isprintable()


def test_a_link_in_a_files_place_is_followed_nowhere(scene: Scene, tmp_path: Path) -> None:
    run = scene.succeeded()
    path = scene.file(run, "prompt.txt")
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert scene.findings() == [(run.run_id, "prompt.txt", "unreadable")]


def test_a_folder_or_a_pipe_in_a_files_place_is_a_finding(scene: Scene) -> None:
    run, other = scene.succeeded(), scene.succeeded()
    scene.file(run, "prompt.txt").unlink()
    scene.file(run, "prompt.txt").mkdir()
    scene.file(other, "prompt.txt").unlink()
    os.mkfifo(scene.file(other, "prompt.txt"))
    assert scene.findings() == [(run.run_id, "prompt.txt", "unreadable"), (other.run_id, "prompt.txt", "unreadable")]


def test_a_link_in_the_folders_place_is_followed_nowhere(scene: Scene, tmp_path: Path) -> None:
    run, other = scene.succeeded(), scene.succeeded()
    scene.folder(run).rename(tmp_path / "elsewhere")
    scene.folder(run).symlink_to(tmp_path / "elsewhere")
    found = scene.findings()
    assert found == [(run.run_id, "", "unreadable")]
    assert other.status == "SUCCEEDED"


def test_a_huge_file_is_hashed_in_chunks_and_reported(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    run = scene.succeeded()
    monkeypatch.setattr(contents, "MAX_LOOKED_INTO_BYTES", 1_000_000)
    forge(scene, run, "response.ndjson", lambda data: data + b" " * 2_000_000)
    assert scene.findings() == [(run.run_id, "response.ndjson", "unreadable")]


def test_a_huge_manifest_is_not_read(scene: Scene) -> None:
    run = scene.succeeded()
    with scene.file(run, "manifest.json").open("ab") as file:
        file.truncate(1 << 40)
    assert scene.findings() == [(run.run_id, "manifest.json", "size")]


def test_a_fault_of_our_own_is_a_finding_about_that_run(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = scene.succeeded(), scene.succeeded()

    def broken(state: Any, files: Any, findings: Any) -> Any:
        if findings.run_id == run.run_id:
            raise ZeroDivisionError("evidence that must not be repeated")
        return check_evidence(state, files, findings)

    monkeypatch.setattr("derive.verify.checking.check_evidence", broken)
    (finding,) = scene.verify()
    assert (finding.run_id, finding.line().split()[1:3]) == (run.run_id, ["-", "unreadable:"])
    assert "must not be repeated" not in finding.line()


def forge_manifest(scene: Scene, run: Any, data: bytes) -> None:
    """Change the manifest, and its size and hash in SQL."""
    path = scene.file(run, "manifest.json")
    path.write_bytes(data)
    record(scene, run, path)


def _input(text: str) -> str:
    evidence = [{"evidence_id": "e1", "source_uri": "urn:test:2", "text": text}]
    given = {"entity_type": "character", "entity_id": "tala", "source_refs": []}
    return json.dumps(given | {"extra_params": {"evidence": evidence}})
