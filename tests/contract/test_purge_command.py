"""``manage.py purge``: a reason always, a question at a terminal, and nothing purged without both."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from derive.models import Job, JobEvent
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.contract.scenes import in_state

OLD = ("--failed", "0s")
WHY = ("--reason", "the trial is over")


class Terminal(io.StringIO):
    """Somebody who answers a question."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def failed(queue: JobQueue, settings: Settings, tmp_path: Path) -> None:
    settings.LAKE_URL = str(tmp_path / "lake")
    in_state(queue, JobStatus.FAILED)


def run(*arguments: str) -> tuple[object, str]:
    said = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("purge", *arguments, stdout=io.StringIO(), stderr=said)
    return end.value.code, said.getvalue()


def test_jobs_are_not_purged_without_a_reason() -> None:
    for given in ((), ("--reason", " ")):
        with pytest.raises(CommandError, match="give a --reason"):
            call_command("purge", *OLD, *given)
    assert Job.objects.count() == 1
    assert run() == (0, "")


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_a_terminal_is_shown_what_goes_and_asked(answer: str, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    code, said = run(*OLD, *WHY)
    assert said.startswith("would purge 1 job (1 FAILED) with ")
    assert (code, Job.objects.count()) == (2 if left else 0, left)


@pytest.mark.parametrize("given", [("--yes",), ("--dry-run",)])
def test_nothing_is_asked_when_told_so_or_when_nothing_goes(
    given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert run(*OLD, *WHY, *given) == (0, "")
    assert Job.objects.count() == (given == ("--dry-run",))


def test_a_script_is_not_asked_and_its_reason_stays() -> None:
    assert run(*OLD, *WHY) == (0, "")
    assert JobEvent.objects.get(event="purged").reason == WHY[1]
