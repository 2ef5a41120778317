"""``manage.py run_llm_worker``: processes jobs, once or until stopped."""

import asyncio
import logging
import os
import secrets
import socket
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.states import JobStatus
from derive.worker.options import WorkerOptions, started_now

if TYPE_CHECKING:
    from derive.worker.processes import WorkerProcesses

_HANDED_ON = ("lease_seconds", "poll_seconds", "grace_seconds", "model")
"""Options that children inherit from their parent."""
DONE, NOT_SUCCEEDED, COULD_NOT_START, NOTHING_TO_DO = 0, 1, 2, 3


def _number(kind: type[int] | type[float], *, least: float, most: float) -> Callable[[str], int | float]:
    def parse(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a number") from None
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text} is not between {least} and {most}")
        return value

    return parse


def _processes(text: str) -> int:
    """Return the number of processes; 0 means one per core."""
    return 0 if text == "auto" else int(_number(int, least=1, most=1000)(text))


def _child_command(given: dict[str, Any], number: int, slots: int) -> list[str]:
    command = [sys.executable, *(f"-W{one}" for one in sys.warnoptions), str(settings.BASE_DIR / "manage.py")]
    command += ["run_llm_worker", "--concurrency", str(slots)]
    command += [f"--{name.replace('_', '-')}={given[name]}" for name in _HANDED_ON if given[name] is not None]
    if given["worker_id"]:
        command += ["--worker-id", f"{given['worker_id']}/{number}"]
    return command + (["--verbose"] if given["verbose"] else [])


class Command(QuickCommand):
    """Claim jobs, ask the model, store everything in the lake, and record the outcomes."""

    help = (
        "Processes interrogation jobs. SIGTERM, SIGHUP or Ctrl-C stops gracefully: running jobs get the grace time, "
        "the rest go back to the queue; a second signal stops at once. Exit codes with --loop: 0 stopped; with "
        "--once: 0 the run succeeded, 1 it did not, 3 nothing to do. Either: 2 could not start."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--once", action="store_true", help="process one job, then exit")
        mode.add_argument("--loop", action="store_true", help="run until stopped (the default)")
        parser.add_argument(
            "--concurrency",
            type=_number(int, least=1, most=1000),
            metavar="N",
            help="answers streamed at the same time, where there is no file of HOLOCRON_ENDPOINTS, whose slots count "
            f"(default: WORKER_CONCURRENCY, {settings.WORKER_CONCURRENCY})",
        )
        parser.add_argument("--worker-id", default=settings.WORKER_ID, metavar="ID", help="default: host:pid:random")
        parser.add_argument(
            "--lease-seconds",
            type=_number(int, least=1, most=86_400),
            default=120,
            metavar="S",
            help="retry a run elsewhere after its worker has been silent this long (default: %(default)s)",
        )
        parser.add_argument(
            "--poll-seconds",
            type=_number(float, least=0.02, most=3600),
            default=1.0,
            metavar="S",
            help="longest pause between two polls of an empty queue (default: %(default)s)",
        )
        parser.add_argument(
            "--grace-seconds",
            type=_number(float, least=0, most=86_400),
            default=settings.WORKER_GRACE_SECONDS,
            metavar="S",
            help="time for running jobs to finish on shutdown (default: WORKER_GRACE_SECONDS, %(default)s)",
        )
        parser.add_argument(
            "--max-jobs", type=_number(int, least=1, most=10**9), metavar="N", help="stop after this many runs"
        )
        parser.add_argument(
            "--model",
            metavar="M",
            help="use this model, and skip jobs that ask for another (default: OLLAMA_MODEL)",
        )
        parser.add_argument(
            "--metrics-port",
            type=_number(int, least=1, most=65_535),
            metavar="P",
            help="serve this worker's Prometheus metrics on 127.0.0.1:P/metrics",
        )
        parser.add_argument(
            "--metrics-host",
            default="127.0.0.1",
            metavar="H",
            help="serve metrics on this address instead; 0.0.0.0 for all interfaces (default: %(default)s)",
        )
        parser.add_argument(
            "--processes",
            type=_processes,
            default=1,
            metavar="N",
            help="split the slots among this many processes, each its own worker; auto: one per core (default: 1)",
        )
        # Set by the parent of several processes: the socket to it, and the file with the number of jobs left to claim.
        parser.add_argument("--child-of", default="", help=SUPPRESS)
        parser.add_argument("--verbose", action="store_true", help="log at debug level")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Run the worker and exit with its code."""
        if given["verbose"]:
            logging.getLogger("derive").setLevel(logging.DEBUG)
        if settings.ENDPOINTS_FILE is not None and (given["concurrency"] is not None or given["processes"] != 1):
            self.stderr.write(
                "run_llm_worker: --concurrency and --processes cannot be used with HOLOCRON_ENDPOINTS: give each "
                "endpoint its slots, and start several workers"
            )
            sys.exit(COULD_NOT_START)
        given["concurrency"] = given["concurrency"] or settings.WORKER_CONCURRENCY
        if given["processes"] != 1 and not given["once"] and not given["child_of"]:
            sys.exit(self._run_processes(given))
        sys.exit(self._run(given))

    def _options(self, given: dict[str, Any]) -> WorkerOptions:
        from derive.worker.run_record import HOLOCRON_VERSION

        parent, budget, *_ = [*map(int, filter(None, given["child_of"].split(","))), None, None]
        return WorkerOptions(
            worker_id=given["worker_id"] or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
            host=socket.gethostname(),
            pid=os.getpid(),
            version=HOLOCRON_VERSION,
            concurrency=given["concurrency"],
            lease_seconds=given["lease_seconds"],
            poll_seconds=given["poll_seconds"],
            grace_seconds=given["grace_seconds"],
            max_jobs=given["max_jobs"],
            once=given["once"],
            model=given["model"],
            model_affinity=settings.MODEL_AFFINITY,
            model_quantum_seconds=settings.MODEL_QUANTUM_SECONDS,
            metrics_port=given["metrics_port"],
            metrics_host=given["metrics_host"],
            started_utc=started_now(),
            id_locks_folder=settings.HOLOCRON_VAR / "workers" if given["worker_id"] else None,
            parent_descriptor=parent,
            budget_descriptor=budget,
        )

    def _run_processes(self, given: dict[str, Any]) -> int:
        from derive.worker.processes import WorkerProcesses, available_cores, slots_of

        if sys.platform == "win32":
            self.stderr.write("run_llm_worker: --processes needs a POSIX system; start several workers instead")
            return COULD_NOT_START
        slots = slots_of(given["concurrency"], given["processes"] or available_cores())
        if len(slots) < given["processes"]:
            self.stderr.write(
                f"run_llm_worker: {given['concurrency']} slots allow {len(slots)} processes: raise --concurrency"
            )
        processes = WorkerProcesses(
            lambda number, arguments: [*_child_command(given, number, slots[number - 1]), *arguments],
            processes=len(slots),
            grace_seconds=given["grace_seconds"],
            max_jobs=given["max_jobs"],
        )
        return self._wait_for(processes, given)

    def _wait_for(self, processes: "WorkerProcesses", given: dict[str, Any]) -> int:
        port, host = given["metrics_port"], given["metrics_host"]
        try:
            if port is None:
                return asyncio.run(processes.run())
            from derive.worker.process_numbers import numbers_served

            with numbers_served(processes, port, host=host):
                return asyncio.run(processes.run())
        except HolocronError as error:
            self.stderr.write(f"run_llm_worker: {error}")
            return COULD_NOT_START

    def _run(self, given: dict[str, Any]) -> int:
        from derive.worker.start import run_worker
        from derive.worker.telemetry import exporting

        options = self._options(given)
        try:
            with exporting(settings.TRACES_EXPORTER):
                report = run_worker(
                    options,
                    ollama=settings.OLLAMA,
                    endpoints=tuple(settings.ENDPOINTS),
                    lake_url=settings.LAKE_URL,
                    interrogations_folder=settings.INTERROGATIONS_FOLDER,
                    delimiter_key=settings.DELIMITER_KEY,
                    redaction_file=settings.REDACTION_FILE,
                )
        except HolocronError as error:
            self.stderr.write(f"run_llm_worker: {error}")
            return COULD_NOT_START
        if not options.once:
            return DONE
        if report.runs == 0 and report.refusal:
            self.stderr.write(f"run_llm_worker: {report.refusal}")
            return COULD_NOT_START
        if report.runs == 0:
            return NOTHING_TO_DO
        return DONE if report.last_status in {JobStatus.SUCCEEDED, JobStatus.SPLIT} else NOT_SUCCEEDED
