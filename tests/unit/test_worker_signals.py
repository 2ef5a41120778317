"""Which signals stop a worker."""

import signal
from collections.abc import Iterator

import pytest

from derive.worker.signals import stopping_signals

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP on Windows")


@pytest.fixture
def hang_up() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up")
def test_a_terminal_that_closes_stops_a_worker_unless_it_was_started_by_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert set(stopping_signals()) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert set(stopping_signals()) == {signal.SIGTERM, signal.SIGINT}
