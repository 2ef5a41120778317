"""The latest answers of an interrogation as a source, and as a condition of rules."""

from pathlib import Path
from typing import Any

from django.conf import settings

from derive.contracts import RunFacts
from derive.queue import JobQueue
from derive.sources.contract import SkippedSubject, SubjectEvidence, Unreadable
from derive.sources.registry import SourceRegistry
from tests.conftest import empty_own_tables
from tests.contract.scenes import claimed, failure, success

CHAINED = '[[source]]\nname = "s"\nkind = "jobs"\nentity_type = "letter"\ninterrogation = "sw_entity_facts_v1"\n'


def source_of(tmp_path: Path, content: str = CHAINED) -> Any:
    (tmp_path / "sources.toml").write_text(content, "utf-8")
    return SourceRegistry.load(
        tmp_path / "sources.toml", environment={}, lake_url="", read_database_url=settings.READ_DATABASE_URL
    ).get("s")


def answered(queue: JobQueue, entity_id: str, output: str | None, **values: Any) -> str:
    claim = claimed(queue, entity_type="letter", entity_id=entity_id, **values)
    queue.complete(success(claim, run=RunFacts(output_json=output)))
    return str(claim.run_id)


def test_the_latest_succeeded_answer_about_each_entity_is_a_subject(queue: JobQueue, tmp_path: Path) -> None:
    answered(queue, "a", '{"kind": "old"}')
    latest = answered(queue, "a", '{"kind": "new"}')
    other = answered(queue, "b", '{"kind": "b"}')
    queue.complete(failure(claimed(queue, entity_type="letter", entity_id="c")))
    claim = claimed(queue, entity_type="other", entity_id="d")
    queue.complete(success(claim, run=RunFacts(output_json="{}")))
    source = source_of(tmp_path)
    one, two = source.subjects()
    assert [(subject.entity_id, subject.change_token) for subject in (one, two)] == [("a", latest), ("b", other)]
    read = list(source.read_all())
    assert [found.items[0].text for found in read] == ['{"kind": "new"}', '{"kind": "b"}']
    assert read[0].items[0].source_uri == f"run:{latest}"
    assert list(source.with_evidence([two, one])) == [read[1], read[0]]


def test_a_run_that_repeats_another_is_no_newer_answer(queue: JobQueue, tmp_path: Path) -> None:
    original = answered(queue, "a", '{"kind": "first"}')
    answered(queue, "a", '{"kind": "repeated"}', repeats_run_id=original)
    (subject,) = source_of(tmp_path).subjects()
    assert subject.change_token == original


def test_an_answer_that_is_gone_or_was_not_stored_is_listed(queue: JobQueue, tmp_path: Path) -> None:
    answered(queue, "a", None)
    source = source_of(tmp_path)
    (subject,) = source.subjects()
    (found,) = source.with_evidence([subject])
    assert isinstance(found, Unreadable)
    assert found.reason == "its run has no stored answer"
    empty_own_tables()
    (found,) = source.with_evidence([subject])
    assert isinstance(found, Unreadable)
    assert found.reason == "there is no succeeded answer about it any more"


def test_a_rule_skips_by_an_earlier_answer(queue: JobQueue, tmp_path: Path) -> None:
    for name, kind in (("a.txt", "spam"), ("b.txt", "ham")):
        answered(queue, name, f'{{"kind": "{kind}"}}')
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("text")
    source = source_of(
        tmp_path,
        '[[source]]\nname = "s"\nkind = "files"\nentity_type = "letter"\nfolder = "."\n'
        '[[source.rule]]\nname = "spam"\nskip = "it is spam"\n'
        'answer = { interrogation = "sw_entity_facts_v1", member = "kind", equals = "spam" }\n',
    )
    found = {one.subject.entity_id: type(one) for one in source.read_all()}
    assert found == {"a.txt": SkippedSubject, "b.txt": SubjectEvidence, "c.txt": SubjectEvidence}
