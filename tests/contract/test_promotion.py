"""Which version is live: promotions, rollbacks, and the gate that a version has to pass first."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from derive.models import InterrogationEvent, InterrogationLive
from derive.queue import JobQueue
from tests.contract.scenes import ACTOR, at_once
from tests.contract.test_golden_cases import a_case

KEY = "sw_entity_facts_v1"
SHA = {version: f"{n:02x}" * 32 for n, version in enumerate(("1.0.0", "2.0.0", "3.0.0"), start=10)}
GATE = "f1>=0.9"
AGAINST_LIVE = "f1>=live"


def a_variant(version: str, **values: Any) -> dict[str, Any]:
    given = {
        "name": f"{KEY}@{version}",
        "interrogation_key": KEY,
        "version": version,
        "definition_sha256": SHA[version],
    }
    return given | {"model": None, "options": {}, "is_live": False} | values


@pytest.fixture
def versions(queue: JobQueue) -> JobQueue:
    """A queue with three registered versions and a golden set."""
    for version, sha256 in SHA.items():
        queue.register(
            definition_sha256=sha256,
            interrogation_key=KEY,
            version=version,
            prompt_template="$evidence",
            output_schema_json="{}",
            rubric=version,
        )
    queue.save_golden_cases([a_case()], actor=ACTOR)
    return queue


def tried(
    queue: JobQueue,
    version: str,
    *,
    live: str = "1.0.0",
    passed: bool = True,
    gates: tuple[str, ...] = (GATE,),
    set_name: str = "heights",
    **variant: Any,
) -> UUID:
    """Record an experiment in which a version passed the gates, or not."""
    experiment_id, one = uuid4(), a_variant(version, **variant)
    if set_name != "heights":
        queue.save_golden_cases([a_case(set_name=set_name)], actor=ACTOR)
    shown = [a_variant(live, name="live", is_live=True), one]
    queue.open_experiment(
        experiment_id, set_name=set_name, batch_id=uuid4(), variants=shown, gates=list(gates), actor=ACTOR
    )
    judged = [{"variant": one["name"], "gate": gate, "passed": passed, "why": ""} for gate in gates]
    queue.record_experiment(experiment_id, {"variants": shown, "gates": judged, "passed": passed}, is_passed=passed)
    return experiment_id


def live() -> tuple[str | None, str | None]:
    return InterrogationLive.objects.values_list("version", "definition_sha256").get(interrogation_key=KEY)


def history() -> list[tuple[str, str | None]]:
    return list(InterrogationEvent.objects.order_by("event_seq").values_list("event", "version"))


def test_a_promoted_version_is_live_and_its_event_says_who_and_why(versions: JobQueue) -> None:
    answer = versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR, reason="measured")
    assert (answer.promoted, answer.definition_sha256, answer.why) == (True, SHA["1.0.0"], None)
    assert live() == ("1.0.0", SHA["1.0.0"])
    event = InterrogationEvent.objects.get()
    assert (event.event, event.version, event.actor, event.reason) == ("promoted", "1.0.0", ACTOR, "measured")
    assert event.db_user
    assert event.replaces_seq is None


def test_promoting_what_is_live_changes_nothing(versions: JobQueue) -> None:
    versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR)
    answer = versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR)
    assert (answer.promoted, answer.why) == (True, "already live")
    assert history() == [("promoted", "1.0.0")]


@pytest.mark.parametrize(("key", "version"), [(KEY, "9.9.9"), ("nobody", "1.0.0"), (KEY, "$'; DROP TABLE")])
def test_what_is_not_registered_is_not_promoted(versions: JobQueue, key: str, version: str) -> None:
    answer = versions.promote_interrogation(key, version, actor=ACTOR)
    assert (answer.promoted, answer.why) == (False, f"{key} {version} is not registered")
    assert not InterrogationLive.objects.exists()
    assert not InterrogationEvent.objects.exists()


def test_rollbacks_go_back_one_promotion_each(versions: JobQueue) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        versions.promote_interrogation(KEY, version, actor=ACTOR)
    back = [versions.roll_back_interrogation(KEY, actor=ACTOR, reason="worse") for _ in range(3)]
    assert [(one.promoted, one.version) for one in back] == [(True, "2.0.0"), (True, "1.0.0"), (False, "1.0.0")]
    assert back[2].why == f"no version of {KEY} was promoted before the live one"
    assert live() == ("1.0.0", SHA["1.0.0"])
    assert history()[3:] == [("rolled_back", "2.0.0"), ("rolled_back", "1.0.0")]


def test_a_rollback_undoes_the_promotion_made_after_a_rollback(versions: JobQueue) -> None:
    versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR)
    versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR)
    versions.roll_back_interrogation(KEY, actor=ACTOR)
    versions.promote_interrogation(KEY, "3.0.0", actor=ACTOR)
    assert versions.roll_back_interrogation(KEY, actor=ACTOR).version == "1.0.0"


def test_nothing_promoted_is_nothing_to_roll_back(versions: JobQueue) -> None:
    assert not versions.roll_back_interrogation(KEY, actor=ACTOR).promoted
    versions.set_gate(KEY, actor=ACTOR, set_name="heights", gates=[GATE])
    assert not versions.roll_back_interrogation(KEY, actor=ACTOR).promoted


def test_a_gate_lets_through_what_passed_it(versions: JobQueue) -> None:
    versions.set_gate(KEY, actor=ACTOR, set_name="heights", gates=[GATE])
    tried(versions, "2.0.0", passed=False)
    assert not versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR).promoted
    tried(versions, "2.0.0")
    newest = tried(versions, "2.0.0", gates=(GATE, "tokens<=900"))
    answer = versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR)
    assert (answer.promoted, answer.experiment_id) == (True, newest)
    assert InterrogationEvent.objects.get(event="promoted").experiment_id == newest


@pytest.mark.parametrize(
    "unfit",
    [
        {"passed": False},
        {"gates": ("f1>=0.8",)},
        {"set_name": "weights"},
        {"definition_sha256": SHA["3.0.0"]},
        {"model": "llama3.2"},
        {"options": {"temperature": 0.5}},
        {"is_live": True},
    ],
    ids=lambda unfit: next(iter(unfit)),
)
def test_a_gate_stops_what_has_not_passed_exactly_it(versions: JobQueue, unfit: dict[str, Any]) -> None:
    versions.set_gate(KEY, actor=ACTOR, set_name="heights", gates=[GATE])
    tried(versions, "2.0.0", **unfit)
    answer = versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR)
    assert (answer.promoted, answer.why) == (
        False,
        f"no experiment on the golden set heights has passed the gate of {KEY} with 2.0.0",
    )
    assert not InterrogationEvent.objects.filter(event="promoted").exists()


def test_one_of_two_gates_is_not_enough(versions: JobQueue) -> None:
    versions.set_gate(KEY, actor=ACTOR, set_name="heights", gates=[GATE, "recall>=0.9"])
    tried(versions, "2.0.0")
    assert not versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR).promoted


def test_an_experiment_that_is_not_scored_passes_nothing(versions: JobQueue) -> None:
    versions.set_gate(KEY, actor=ACTOR, set_name="heights", gates=[GATE])
    versions.open_experiment(
        uuid4(), set_name="heights", batch_id=uuid4(), variants=[a_variant("2.0.0")], gates=[GATE], actor=ACTOR
    )
    assert not versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR).promoted


def test_a_gate_against_live_needs_a_comparison_with_what_is_live_now(versions: JobQueue) -> None:
    versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR)
    versions.set_gate(KEY, actor=ACTOR, set_name="heights", gates=[AGAINST_LIVE], compares_live=True)
    for version in ("2.0.0", "3.0.0"):
        tried(versions, version, live="1.0.0", gates=(AGAINST_LIVE,))
    assert versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR).promoted
    assert not versions.promote_interrogation(KEY, "3.0.0", actor=ACTOR).promoted, "it was compared with 1.0.0"
    tried(versions, "3.0.0", live="2.0.0", gates=(AGAINST_LIVE,))
    assert versions.promote_interrogation(KEY, "3.0.0", actor=ACTOR).promoted


def test_a_rollback_asks_no_gate(versions: JobQueue) -> None:
    versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR)
    versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR)
    versions.set_gate(KEY, actor=ACTOR, set_name="heights", gates=[GATE])
    assert versions.roll_back_interrogation(KEY, actor=ACTOR).version == "1.0.0"


def test_a_gate_is_set_changed_and_removed_and_what_is_live_stays(versions: JobQueue) -> None:
    versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR)
    given: dict[str, Any] = {"actor": ACTOR, "set_name": "heights", "gates": [GATE]}
    assert versions.set_gate(KEY, **given)
    assert not versions.set_gate(KEY, **given)
    assert versions.set_gate(KEY, actor=ACTOR, set_name='new "heights"', gates=[GATE])
    assert versions.set_gate(KEY, actor=ACTOR, reason="too strict")
    assert not versions.set_gate(KEY, actor=ACTOR)
    assert live() == ("1.0.0", SHA["1.0.0"])
    assert versions.promote_interrogation(KEY, "2.0.0", actor=ACTOR).promoted
    changes = InterrogationEvent.objects.filter(event="gate_changed").order_by("event_seq")
    assert [one.detail_json.replace(" ", "") for one in changes] == [
        '{"set":"heights","gates":["f1>=0.9"]}',
        '{"set":"new\\"heights\\"","gates":["f1>=0.9"]}',
        '{"set":null,"gates":null}',
    ]
    assert changes[2].reason == "too strict"


def test_two_promotions_at_once_follow_each_other(versions: JobQueue) -> None:
    versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR)
    for _ in range(5):
        answers = at_once(*(partial(versions.promote_interrogation, KEY, v, actor=v) for v in ("2.0.0", "3.0.0")))
        assert all(answer.promoted for answer in answers)
        last, before = InterrogationEvent.objects.order_by("-event_seq")[:2]
        assert {last.version, before.version} == {"2.0.0", "3.0.0"}
        assert (last.replaces_seq, live()[0]) == (before.event_seq, last.version)
        assert versions.roll_back_interrogation(KEY, actor=ACTOR).version == before.version
        assert versions.roll_back_interrogation(KEY, actor=ACTOR).version == "1.0.0"


def test_of_two_winners_against_one_live_version_only_the_first_goes_live(versions: JobQueue) -> None:
    versions.promote_interrogation(KEY, "1.0.0", actor=ACTOR)
    versions.set_gate(KEY, actor=ACTOR, set_name="heights", gates=[AGAINST_LIVE], compares_live=True)
    for version in ("2.0.0", "3.0.0"):
        tried(versions, version, live="1.0.0", gates=(AGAINST_LIVE,))
    answers = at_once(*(partial(versions.promote_interrogation, KEY, v, actor=v) for v in ("2.0.0", "3.0.0")))
    assert sorted(answer.promoted for answer in answers) == [False, True]
    assert live()[0] == next(answer.version for answer in answers if answer.promoted)


def test_first_promotions_of_a_key_at_once_leave_one_live_version(versions: JobQueue) -> None:
    answers = at_once(*(partial(versions.promote_interrogation, KEY, v, actor=v) for v in ("2.0.0", "3.0.0")))
    assert all(answer.promoted for answer in answers)
    assert live()[0] == InterrogationEvent.objects.order_by("-event_seq").values_list("version", flat=True)[0]
