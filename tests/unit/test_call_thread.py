"""A call that hangs is given up within its seconds, and the next one is made by another thread."""

import threading
from collections.abc import Iterator

import pytest

from derive.errors import DatabaseUnavailable
from derive.worker import call_thread
from derive.worker.call_thread import CallThread

SECONDS = 0.05


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """What a hanging call waits for; it comes back at the test's end."""
    event = threading.Event()
    yield event
    event.set()


def test_calls_are_made_in_turn_on_one_thread() -> None:
    with CallThread("queue", seconds=60) as calls:
        futures = [calls.submit(lambda n=n: (n, threading.get_ident())) for n in range(50)]  # type: ignore[misc]
        answers = [future.result() for future in futures]
    assert [n for n, _ in answers] == list(range(50))
    assert len({thread for _, thread in answers}) == 1


def test_what_a_call_raises_is_raised_to_whoever_waits_for_it() -> None:
    with CallThread("queue", seconds=60) as calls, pytest.raises(KeyError):
        calls.call(lambda: dict[str, int]()["nothing"])


def test_a_call_that_hangs_is_given_up_and_the_next_is_made_by_another_thread(hang: threading.Event) -> None:
    with CallThread("queue", seconds=SECONDS) as calls:
        first = calls.call(threading.get_ident)
        stuck, behind = calls.submit(hang.wait), calls.submit(threading.get_ident)
        with pytest.raises(DatabaseUnavailable, match=r"was not done within 0\.05 s"):
            stuck.result()
        assert behind.result() != first


def test_what_an_abandoned_call_returns_is_dropped(hang: threading.Event) -> None:
    with CallThread("queue", seconds=SECONDS) as calls:
        stuck = calls.submit(hang.wait)
        assert isinstance(stuck.exception(), DatabaseUnavailable)
        (abandoned,) = calls._abandoned
        hang.set()
        abandoned.join(10)
        assert not abandoned.is_alive()
        assert calls.call(lambda: "next") == "next"
        assert isinstance(stuck.exception(), DatabaseUnavailable)


def test_so_many_threads_hang_and_no_more(hang: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_thread, "MAX_ABANDONED", 2)
    with CallThread("queue", seconds=SECONDS) as calls:
        for _ in range(2):
            assert isinstance(calls.submit(hang.wait).exception(), DatabaseUnavailable)
        with pytest.raises(DatabaseUnavailable, match="2 calls hang"):
            calls.call(lambda: None)
        hang.set()
        for thread in calls._abandoned:
            thread.join(10)
        assert calls.call(lambda: "again") == "again"


def test_the_end_waits_for_no_call_that_hangs(hang: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_thread, "END_SECONDS", SECONDS)
    calls = CallThread("queue", seconds=3600)
    stuck, behind = calls.submit(hang.wait), calls.submit(lambda: None)
    calls.shutdown()
    for future in (stuck, behind):
        assert isinstance(future.exception(), DatabaseUnavailable)
    with pytest.raises(RuntimeError):
        calls.submit(lambda: None)
