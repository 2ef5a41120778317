"""Derivations in the admin: what is current and why the rest is not, and who may pause one or ask again."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.fixtures import Settings

from derive.models import Subject
from derive.queue import JobQueue
from derive.sql import subject_counts
from derive.states import StaleBecause, SubjectState
from tests.admin.conftest import HOSTILE, Browse
from tests.admin.derivation_scene import a_derivation
from tests.contract.derived import NAME, World, row, states, subject

LIST = "admin:derive_derivation_changelist"
PAGE = "admin:derive_derivation_change"
SUBJECTS = "admin:derive_derivation_subjects"
ACT = "admin:derive_derivation_act"
MAX_QUERIES = 14


@pytest.fixture
def world(browse: Browse, queue: JobQueue, tmp_path: Path, settings: Settings) -> World:
    return World(tmp_path, settings)


def shown(client: Client, address: str, *, key: str | None = NAME, **query: str) -> str:
    answer = client.get(reverse(address, args=[key] if key else []), query)
    assert answer.status_code == 200
    assert "<script>alert(1)" not in answer.text
    assert "\u202e" not in answer.text
    return " ".join(answer.text.split())


def act(client: Client, action: str, **values: str) -> Any:
    return client.post(reverse(ACT, args=[NAME]), {"action": action, "reason": "checked by hand", **values})


def test_the_list_tells_the_share_that_is_current_and_what_is_broken(world: World, browse: Browse) -> None:
    viewer = browse("viewer")
    assert "never applied" in shown(viewer, LIST, key=None)
    world.write("hoth", "naboo")
    world.apply(limits=None)
    world.work()
    world.write("kamino")
    world.apply()
    text = shown(viewer, LIST, key=None)
    assert 'data-label="Current" class="hc-num"> 66 % <' in text
    assert 'data-label="Subjects" class="hc-num"> 3 <' in text
    world.declare(priority=-1)
    assert "<b>broken</b>" in shown(viewer, LIST, key=None)
    assert "priority" in shown(viewer, PAGE)


def test_a_page_shows_states_reasons_cost_and_batches_in_few_bounded_queries(world: World, browse: Browse) -> None:
    world.write("hoth", "naboo", "kamino")
    world.apply()
    world.work()
    world.declare(model="another", depth_limit=1)
    world.apply()
    viewer = browse("viewer")
    with CaptureQueriesContext(connection) as queries:
        text = shown(viewer, PAGE)
    assert len(queries) <= MAX_QUERIES, [query["sql"][:200] for query in queries]
    unbounded = [one["sql"] for one in queries if "COUNT(*)" in one["sql"] and "FETCH NEXT" not in one["sql"]]
    assert not unbounded
    assert f"{reverse(SUBJECTS, args=[NAME])}?state=STALE" in text
    assert "another model is to be asked</a> 2" in text
    assert "1 unfinished jobs at once" in text
    assert text.count("/admin/derive/batch/") >= 2
    stale = shown(viewer, SUBJECTS, because="model")
    assert stale.count("another model is to be asked; the answer stays in use") == 2


def test_a_capped_count_says_so_and_tells_no_share(
    world: World, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("derive.sql.subject_counts", "derive.derivations.status"):
        monkeypatch.setattr(f"{module}.COUNT_CAP", 1)
    assert subject_counts.COUNT_CAP == 1
    world.write("hoth", "naboo", "kamino")
    world.apply()
    text = shown(browse("viewer"), PAGE)
    assert "0 of more than 1 subjects are current" in text
    assert "<progress" not in text


def test_the_subjects_are_filtered_and_paged_and_lead_to_job_and_entity(
    world: World, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write("hoth", "naboo", "kamino")
    world.apply()
    world.work(succeeds=False)
    viewer = browse("viewer")
    text = shown(viewer, SUBJECTS, state="FAILED")
    assert text.count("its newest job ended without an answer") >= 3
    assert reverse("admin:derive_job_change", args=[subject("hoth").job_id]) in text
    assert f"{reverse('admin:derive_fact_entity')}?entity=hoth.txt" in text
    assert "No subject matches" in shown(viewer, SUBJECTS, state="CURRENT")
    for query in ({"entity": "hoth.txt"}, {"entity": "hoth.txt", "entity_type": "planet"}):
        text = shown(viewer, SUBJECTS, **query)
        assert "?entity=hoth.txt" in text
        assert "?entity=naboo.txt" not in text
    answer = viewer.get(reverse(SUBJECTS, args=[NAME]), {"state": "NEVER"})
    assert "is not one of" in answer.text
    oldest = Subject.objects.order_by("subject_seq")[0]
    older = shown(viewer, SUBJECTS, state="FAILED", older=str(oldest.subject_seq + 1))
    assert f"?entity={oldest.entity_id}" in older
    assert older.count('data-label="Entity"') == 1


def test_what_strangers_wrote_is_escaped(browse: Browse, queue: JobQueue) -> None:
    derivation = a_derivation(queue)
    assert HOSTILE not in shown(browse("operator"), PAGE, key=derivation.derivation_key)
    text = shown(browse("operator"), SUBJECTS, key=derivation.derivation_key)
    assert HOSTILE not in text
    assert "left out by a rule" in text


def test_an_operator_pauses_resumes_and_gives_a_reason(world: World, browse: Browse) -> None:
    operator = browse("operator")
    assert act(operator, "pause", reason="").status_code == 400
    assert act(operator, "pause").status_code == 302
    assert row().pause_reason == "checked by hand"
    assert row().paused_by == browse.people["operator"].username
    assert "checked by hand" in shown(operator, PAGE)
    assert act(operator, "resume").status_code == 302
    assert row().paused_utc is None


def test_an_operator_asks_again_for_one_for_the_failed_or_for_all(world: World, browse: Browse) -> None:
    operator = browse("operator")
    assert "was never applied" in act(operator, "ask-all").text
    world.write("hoth", "naboo")
    world.apply()
    world.work()
    assert act(operator, "ask-one").status_code == 400
    assert "has no subject" in act(operator, "ask-one", entity="tatooine").text
    assert act(operator, "ask-one", entity="hoth.txt").status_code == 302
    assert states() == {"hoth": SubjectState.STALE, "naboo": SubjectState.CURRENT}
    assert act(operator, "ask-failed").status_code == 302
    assert states()["naboo"] == SubjectState.CURRENT
    assert act(operator, "ask-all").status_code == 302
    assert subject("naboo").stale_because == StaleBecause.ASKED


def test_a_viewer_sees_and_does_not_act_and_strangers_see_nothing(world: World, browse: Browse) -> None:
    world.write("hoth")
    world.apply()
    viewer = browse("viewer")
    assert reverse(ACT, args=[NAME]) not in shown(viewer, PAGE)
    assert reverse(ACT, args=[NAME]) not in shown(viewer, SUBJECTS)
    assert viewer.get(reverse(ACT, args=[NAME])).status_code == 403
    assert act(viewer, "pause").status_code == 403
    assert browse("nobody").get(reverse(PAGE, args=[NAME])).status_code in {302, 403}


@pytest.mark.parametrize("address", [PAGE, SUBJECTS, ACT])
def test_what_is_not_there_is_not_found(browse: Browse, queue: JobQueue, address: str) -> None:
    for key in ("unknown", "<b>", "a" * 300):
        assert browse("operator").get(reverse(address, args=[key])).status_code == 404


def test_a_file_that_cannot_be_read_is_said_and_what_was_applied_is_shown(world: World, browse: Browse) -> None:
    world.write("hoth")
    world.apply()
    world.file.write_text("[[derivation", "utf-8")
    assert "is not TOML" in shown(browse("viewer"), LIST, key=None)
    assert "is not TOML" in shown(browse("viewer"), PAGE)
