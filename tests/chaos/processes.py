"""One worker process, and what its log tells of it."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 30
COMMAND = (sys.executable, "-W", "error", "-m", "tests.chaos.worker", "run_llm_worker", "--loop")
RUN_ENDS = ("run.completed", "run.lost", "run.refused", "run.released", "run.not_released", "run.given_up")


class WorkerProcess:
    """``manage.py run_llm_worker --loop``, run as ``preexec`` makes it; its log is read as it grows."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        preexec: Callable[[], None],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.events: Counter[str] = Counter()
        self.is_paused = False
        self.must_end = False
        self._log = log
        self._offset = 0
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, *arguments],
                cwd=BASE_DIR,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # Only system calls run between fork and exec, whatever threads there are.
                preexec_fn=preexec,  # noqa: PLW1509
            )

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def is_up(self) -> bool:
        return self.exit_code is None and self.events["worker.started"] > 0

    @property
    def can_reap(self) -> bool:
        return self.is_up and not self.is_paused

    @property
    def holds_runs(self) -> bool:
        """Whether, as far as was logged, it has runs under way."""
        return self.events["job.claimed"] > sum(self.events[event] for event in RUN_ENDS)

    def send(self, number: signal.Signals) -> None:
        self.is_paused = number == signal.SIGSTOP or (self.is_paused and number != signal.SIGCONT)
        self.must_end = self.must_end or number in (signal.SIGTERM, signal.SIGKILL)
        self._process.send_signal(number)

    def listen(self) -> None:
        """Count the events logged since the last look."""
        with self._log.open("rb") as said:
            said.seek(self._offset)
            whole, newline, _ = said.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            if line.startswith(b"{"):
                self.events[json.loads(line)["event"]] += 1

    def last_words(self, lines: int = 30) -> str:
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-lines:])

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        code = self._process.wait(seconds)
        self.listen()
        return code

    def end(self) -> None:
        """Make sure that it has gone."""
        if self.exit_code is None:
            self._process.kill()
            self._process.wait(DEADLINE_SECONDS)
