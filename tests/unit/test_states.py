"""Which moves between states are legal, and in which states a job holds its dedupe key."""

import pytest

from derive.states import ENDED, HOLDS_DEDUPE_KEY, LEGAL_MOVES, WAITING, JobStatus, is_legal_move


@pytest.mark.parametrize("status", JobStatus)
def test_a_job_may_stay_where_it_is(status: JobStatus) -> None:
    assert is_legal_move(status, status) is True


def test_a_job_is_queued_new_or_scheduled() -> None:
    assert {status for status in JobStatus if is_legal_move(None, status)} == WAITING


def test_a_run_may_end_in_every_way_or_be_given_back() -> None:
    assert LEGAL_MOVES[JobStatus.RUNNING] == ENDED | WAITING | {JobStatus.SPLIT} == set(JobStatus) - {JobStatus.RUNNING}


def test_what_succeeded_stays_and_what_ended_otherwise_is_only_requeued() -> None:
    for ended in ENDED:
        moves = {status for status in JobStatus if status != ended and is_legal_move(ended, status)}
        assert moves == (set() if ended is JobStatus.SUCCEEDED else WAITING | {JobStatus.SPLIT})


def test_a_split_job_is_joined_or_cancelled() -> None:
    assert LEGAL_MOVES[JobStatus.SPLIT] == {JobStatus.NEW, JobStatus.CANCELLED}


def test_nothing_waiting_runs_before_it_is_due() -> None:
    assert is_legal_move(JobStatus.NEW, JobStatus.RUNNING) is True
    assert is_legal_move(JobStatus.SCHEDULED, JobStatus.RUNNING) is False


def test_a_dedupe_key_is_held_until_a_job_ends_without_success() -> None:
    assert set(JobStatus) - HOLDS_DEDUPE_KEY == {JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.CANCELLED}
