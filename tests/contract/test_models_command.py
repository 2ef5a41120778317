"""``manage.py models``, as its user types it."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from derive.models import LanguageModel
from derive.queue import JobQueue
from tests.contract.scenes import claim_one, queued


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("models", *arguments, stdout=out)
    return out.getvalue()


def listed() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run("--json"))
    return rows


def test_an_empty_queue_has_no_models(queue: JobQueue, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed() == []
    run()
    assert "no models: no jobs wait" in capsys.readouterr().out


def test_models_are_listed_with_the_jobs_that_wait_for_them(
    queue: JobQueue, capsys: pytest.CaptureFixture[str]
) -> None:
    queued(queue, model_hint="b")
    claim_one(queue)
    queued(queue, model_hint="b")
    queued(queue)
    run("pause", "a", "--reason", "GPU maintenance", "--actor", "ada")
    run("limit", "b", "--max-running", "2", "--num-ctx", "4096")
    rows = listed()
    assert [(row["model"], row["new"], row["running"]) for row in rows] == [("a", 0, 0), ("b", 1, 1), (None, 1, 0)]
    assert [(row["max_running"], row["num_ctx"]) for row in rows] == [(None, None), (2, 4096), (None, None)]
    assert (rows[0]["paused_by"], rows[0]["pause_reason"]) == ("ada", "GPU maintenance")
    run()
    shown = capsys.readouterr().out
    assert "GPU maintenance" in shown
    assert "max_running 2, num_ctx 4096" in shown
    assert "(worker's own)" in shown


def test_what_is_so_already_is_reported(queue: JobQueue) -> None:
    assert run("pause", "b", "--reason", "x") == "b is paused\n"
    assert run("pause", "b", "--reason", "x") == "b is paused already\n"
    assert json.loads(run("resume", "b", "--json")) == {"model": "b", "changed": True}
    assert json.loads(run("--json", "resume", "b")) == {"model": "b", "changed": False}


def test_a_limit_is_removed_by_none_and_the_others_stay(queue: JobQueue) -> None:
    run("limit", "b", "--max-running", "2", "--max-starts-per-minute", "30")
    assert run("limit", "b", "--max-running", "none") == "b: max_running none\n"
    row = LanguageModel.objects.get(model="b")
    assert (row.max_running, row.max_starts_per_minute) == (None, 30)


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "b"),
        ("pause", " ", "--reason", "x"),
        ("pause", "b" * 201, "--reason", "x"),
        ("limit", "b", "--max-running", "0"),
        ("limit", "b", "--max-running", "-1"),
        ("limit", "b", "--num-ctx", "lots"),
        ("stop", "b"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_changes(queue: JobQueue, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)
    assert not LanguageModel.objects.exists()


def test_a_limit_without_a_number_says_what_to_write(queue: JobQueue, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("limit", "b")
    assert ended.value.code == 2
    assert not LanguageModel.objects.exists()
