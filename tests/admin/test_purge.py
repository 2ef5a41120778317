"""The purge page: a look first, then for good, by those who may, with a reason that stays."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from derive.admin.jobs import long_action, purge
from derive.models import Job, JobEvent, Seal
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.admin.conftest import Browse
from tests.contract.scenes import in_state, pass_time, ref

LOOK, RUN = "admin:derive_job_purge", "admin:derive_job_purge_run"
DAY_SECONDS = 86_400.0


@pytest.fixture
def maintainer(browse: Browse, settings: Settings, tmp_path: Path) -> Client:
    settings.LAKE_URL = str(tmp_path / "lake")
    return browse("maintainer")


@pytest.fixture
def ended(maintainer: Client, queue: JobQueue) -> JobQueue:
    """Ten days ago: two failed, one of them held, one succeeded; a failed one of today."""
    held, *_others = [in_state(queue, JobStatus.FAILED) for _ in range(2)]
    in_state(queue, JobStatus.SUCCEEDED)
    queue.set_hold([ref(held)], actor="ada", hold=True)
    pass_time(10 * DAY_SECONDS)
    in_state(queue, JobStatus.FAILED)
    return queue


def states() -> list[str]:
    return sorted(Job.objects.values_list("status", flat=True))


def test_a_look_counts_what_is_old_enough_and_not_held_and_purges_nothing(maintainer: Client, ended: JobQueue) -> None:
    page = maintainer.get(reverse(LOOK), {"failed": "5", "cancelled": "5"})
    assert [(one.status, one.count, one.is_exact) for one in page.context["old"]] == [
        (JobStatus.FAILED, 1, True),
        (JobStatus.CANCELLED, 0, True),
    ]
    assert len(states()) == 4


def test_a_look_at_nothing_says_what_to_fill_in(maintainer: Client) -> None:
    empty = {state.value.lower(): "" for state in purge.STATES}
    assert purge.NO_AGE in maintainer.get(reverse(LOOK), empty).text
    assert purge.NO_AGE not in maintainer.get(reverse(LOOK)).text


def test_what_was_looked_at_goes_and_a_tombstone_says_who_and_why(maintainer: Client, ended: JobQueue) -> None:
    page = maintainer.post(reverse(RUN), {"failed": "5", "succeeded": "5", "reason": "the trial is over"})
    assert "2 jobs purged" in page.text
    assert states() == ["FAILED", "FAILED"]
    tombstones = JobEvent.objects.filter(event="purged")
    assert {(event.reason, event.actor.split("-")[0]) for event in tombstones} == {("the trial is over", "maintainer")}


def test_the_script_is_told_step_by_step(maintainer: Client, ended: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derive.retention.BATCH_JOBS", 1)
    monkeypatch.setattr(long_action, "STEP_SECONDS", 0)
    answers, cursor = [], "more"
    while cursor:
        said = maintainer.post(
            reverse(RUN),
            {"failed": "5", "succeeded": "5", "reason": "old"},
            headers={"accept": "application/json"},
        ).json()
        cursor = said["cursor"]
        answers.append(said["changed"])
    # The history first, and again after each job, whose purge is an event too; then the files.
    assert answers[:5] == [0, 1, 0, 1, 0]
    assert sum(answers) == 2


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"failed": "5"}, "Give a reason"),
        ({"reason": "old"}, "Nothing was purged."),
        ({"failed": "-1", "reason": "old"}, "whole number"),
        ({"failed": "9" * 30, "reason": "old"}, "whole number"),
        ({"failed": "५", "reason": "old"}, "whole number"),
    ],
)
def test_what_cannot_be_understood_purges_nothing(
    form: dict[str, str], says: str, maintainer: Client, ended: JobQueue
) -> None:
    page = maintainer.post(reverse(RUN), form)
    assert page.status_code == 400
    assert says in page.text
    assert len(states()) == 4


def test_sealing_a_long_history_first_is_done_in_steps_too(
    maintainer: Client, ended: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_action, "ALONE_SECONDS", 0)
    page = maintainer.post(reverse(RUN), {"failed": "5", "reason": "old"})
    assert "purge again to continue" in page.text
    assert (Seal.objects.count(), len(states())) == (1, 4)
    monkeypatch.undo()
    assert "1 job purged" in maintainer.post(reverse(RUN), {"failed": "5", "reason": "old"}).text


def test_an_operator_may_neither_look_nor_purge(browse: Browse, ended: JobQueue) -> None:
    client = browse("operator")
    assert client.get(reverse(LOOK)).status_code == 403
    assert client.post(reverse(RUN), {"failed": "0", "reason": "mine"}).status_code == 403
    assert len(states()) == 4


def test_a_lake_that_is_away_is_reported_and_no_row_goes(
    maintainer: Client, ended: JobQueue, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    settings.LAKE_URL = str(tmp_path / "file")
    page = maintainer.post(reverse(RUN), {"failed": "5", "reason": "old"})
    assert "cannot be used" in page.text
    assert len(states()) == 4
