"""Golden cases are saved all or none, and come out as they went in."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from derive.golden_contracts import CaseInput, SaveOutcome
from derive.models import GoldenCase
from derive.queue import JobQueue
from tests.contract.scenes import ACTOR


def a_case(key: str = "luke", **values: Any) -> CaseInput:
    given = {
        "set_name": "heights",
        "case_key": key,
        "interrogation_key": "sw_entity_facts_v1",
        "input_json": '{"entity_type": "character", "entity_id": "luke"}',
        "evidence_json": '{"items": [{"evidence_id": "e1", "text": "Luke is 1.72 m tall."}]}',
        "expected_json": '{"facts": [{"key": "height", "value": "172 cm", "quote": "1.72 m tall"}]}',
    }
    return CaseInput(**given | values)


def save(queue: JobQueue, *cases: CaseInput, **given: Any) -> list[str]:
    return [outcome.value for outcome in queue.save_golden_cases(cases, actor=ACTOR, **given)]


def keys() -> list[str]:
    return [case.case_key for case in GoldenCase.objects.order_by("case_seq")]


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("golden_cases", *arguments, stdout=out, stderr=err)
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def test_cases_are_saved_in_their_order(queue: JobQueue) -> None:
    assert save(queue, a_case("b"), a_case("a"), a_case("c")) == ["created"] * 3
    assert keys() == ["b", "a", "c"]
    case = GoldenCase.objects.get(case_key="a")
    assert (case.created_by, case.changed_by, case.matching_json) == (ACTOR, ACTOR, None)


def test_saving_the_same_again_changes_nothing(queue: JobQueue) -> None:
    save(queue, a_case())
    before = GoldenCase.objects.get()
    assert save(queue, a_case()) == ["unchanged"]
    assert GoldenCase.objects.get().changed_utc == before.changed_utc


def test_if_one_case_exists_nothing_is_saved(queue: JobQueue) -> None:
    save(queue, a_case())
    assert save(queue, a_case("han"), a_case(expected_json='{"facts": []}')) == ["skipped", "exists"]
    assert keys() == ["luke"]


def test_an_existing_case_is_replaced_when_asked_and_keeps_its_id(queue: JobQueue) -> None:
    save(queue, a_case())
    before = GoldenCase.objects.get()
    changed = a_case(expected_json='{"facts": []}', matching_json='{"*": "exact"}')
    assert save(queue, changed, a_case("han"), replaces=True) == ["replaced", "created"]
    after = GoldenCase.objects.get(case_key="luke")
    assert (after.case_id, after.created_utc, after.expected_json) == (
        before.case_id,
        before.created_utc,
        '{"facts": []}',
    )


def test_one_key_may_be_in_several_sets(queue: JobQueue) -> None:
    assert save(queue, a_case(), a_case(set_name="Heights")) == ["created", "created"]
    assert SaveOutcome.CREATED.value == "created"


def test_a_file_comes_out_as_it_went_in(queue: JobQueue, tmp_path: Path) -> None:
    line = {
        "set": "heights",
        "case": "luke",
        "interrogation": "sw_entity_facts_v1",
        "input": {"entity_type": "character", "entity_id": "luke"},
        "evidence": [{"evidence_id": "e1", "text": "Luke is 1.72 m tall – “so”.\n\U0001f642"}],
        "expected": [{"key": "height", "value": 1.72, "quote": "1.72 m", "evidence_id": "e1"}],
        "matching": {"*": "exact"},
    }
    text = "".join(json.dumps({**line, "case": case}, ensure_ascii=False) + "\n" for case in ("z", "a"))
    file = tmp_path / "cases.jsonl"
    file.write_text(text, encoding="utf-8")
    assert run("import", str(file)) == (0, "2 cases: 2 created, 0 replaced, 0 unchanged.\n", "")
    assert run("export", "heights") == (0, text, "")
    assert run("import", str(file))[1] == "2 cases: 0 created, 0 replaced, 2 unchanged.\n"
    assert json.loads(run("list", "--json")[1]) == [
        {"set": "heights", "cases": 2, "interrogation": "sw_entity_facts_v1"}
    ]


def test_a_file_with_a_bad_line_imports_nothing(queue: JobQueue, tmp_path: Path) -> None:
    good = {
        "set": "s",
        "case": "a",
        "interrogation": "sw_entity_facts_v1",
        "input": {"entity_type": "character", "entity_id": "luke"},
        "expected": [],
    }
    file = tmp_path / "cases.jsonl"
    file.write_text("\n".join(json.dumps(one) for one in (good, {**good, "case": "b", "x": 1}, good)))
    code, out, err = run("import", str(file))
    assert (code, out) == (1, "")
    assert "line 2: x: Extra inputs are not permitted" in err
    assert "line 3: the case 'a' of set 's' is on line 1 already" in err
    assert keys() == []


def test_a_case_that_is_there_already_is_named_with_its_line(queue: JobQueue, tmp_path: Path) -> None:
    save(queue, a_case())
    line: dict[str, Any] = {"set": "heights", "case": "luke", "interrogation": "sw_entity_facts_v1", "expected": []}
    line["input"] = {"entity_type": "character", "entity_id": "luke"}
    file = tmp_path / "cases.jsonl"
    file.write_text("\n" + json.dumps(line))
    code, out, _err = run("import", str(file), "--json")
    assert code == 1
    assert json.loads(out)["bad_lines"] == [
        {"line": 2, "why": "the set 'heights' has another case 'luke': use --replace"}
    ]
    assert run("import", str(file), "--replace")[0] == 0


def test_files_and_sets_that_are_not_there_are_told(queue: JobQueue) -> None:
    assert run("import", "/no/such/file")[0] == 2
    assert run("export", "nothing")[0] == 1
    assert run("list") == (0, "There are no golden sets. Import one, or make cases of reviewed answers.\n", "")
