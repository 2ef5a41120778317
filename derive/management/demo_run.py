"""Runs ``manage.py demo`` in its own instance; exit codes as in the command."""

import json
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from derive.demo.account import USERNAME, make_account
from derive.demo.outcomes import SampleOutcome, count_ended, read_outcomes
from derive.demo.queueing import queue_samples
from derive.demo.samples import Sample, load_samples
from derive.demo.world import ModelInUse, Program, free_port, model_in_use
from derive.errors import HolocronError
from derive.lake import Lake
from derive.states import JobStatus

POLL_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 120
"""Longest wait for another sample to end. With a real model, its longest call is added."""


def run_demo(given: dict[str, Any]) -> int:
    """Run the demo with the command's options; return its exit code. Prints errors."""
    console = Console(stderr=given["json"])
    # A SIGTERM from outside should do what Ctrl-C does: leave nothing running.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    try:
        return _Demo(console, once=given["once"], own_world=given["own_world"]).run(as_json=given["json"])
    except HolocronError as error:
        console.print(f"demo: {error}", markup=False, style="red")
        return 2
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130


def _interrupt_once(_number: int, _frame: FrameType | None) -> NoReturn:
    """Start stopping and ignore further signals: stopping is bounded in time, and leaves nothing running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


class _Demo:
    def __init__(self, console: Console, *, once: bool, own_world: bool) -> None:
        self._console = console
        self._once = once
        self._own_world = own_world
        self._logs = Path(settings.HOLOCRON_VAR) / "logs"

    def run(self, *, as_json: bool) -> int:
        begun = time.monotonic()
        self._console.print("[bold]Holocron[/bold]: preparing the database …")
        call_command("migrate", verbosity=0, interactive=False)
        password = make_account(own_world=self._own_world)
        lake = Lake.open(settings.LAKE_URL)
        with model_in_use(settings.OLLAMA) as model:
            self._print_model(model)
            jobs, known = queue_samples(load_samples(), model=model.model)
            if known:
                self._console.print(f"{known} of {len(jobs)} samples are there from an earlier start; only others run.")
            worker = Program(
                *("run_llm_worker", "--loop", "--concurrency", str(model.slots)),
                log_file=self._logs / "worker.log",
                environment=model.environment,
            )
            try:
                self._watch(jobs, worker, model)
                outcomes = read_outcomes(jobs, lake=lake, real_model=model.is_real)
                seconds = time.monotonic() - begun
                self._print_outcomes(outcomes, model)
                if not self._once:
                    self._stay(password, model.environment)
            finally:
                worker.stop()
        as_expected = all(outcome.as_expected for outcome in outcomes)
        if as_json:
            sys.stdout.write(f"{json.dumps(_summary(outcomes, model, seconds))}\n")
            sys.stdout.flush()
        return 0 if as_expected else 1

    def _print_model(self, model: ModelInUse) -> None:
        if model.why_not_ollama is None:
            self._console.print(f"Asking [bold]{escape(model.model)}[/bold] at {escape(model.base_url)}.")
            return
        self._console.print(f"[dim]{escape(model.why_not_ollama)}[/dim]")
        self._console.print(
            "Using the [bold]holocron-demo[/bold] stand-in instead: rules behind Ollama's protocol, "
            "[bold]not a model[/bold]. Everything else is real."
        )

    def _watch(self, jobs: dict[UUID, Sample], worker: Program, model: ModelInUse) -> None:
        """Show progress until all samples have ended; raise HolocronError if they do not."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        longest_seconds = LONGEST_WAIT_SECONDS + (settings.OLLAMA.timeout_seconds if model.is_real else 0)
        ended, changed = 0, time.monotonic()
        with Progress(*columns, console=self._console) as progress:
            bar = progress.add_task("Running the samples", total=len(jobs))
            while ended < len(jobs):
                if worker.exit_code is not None:
                    raise HolocronError(_ended(worker))
                if time.monotonic() - changed > longest_seconds:
                    raise HolocronError(f"no sample has ended for {longest_seconds:.0f} s; see {worker.log_file}")
                time.sleep(POLL_SECONDS)
                now_ended = count_ended(jobs)
                if now_ended > ended:
                    ended, changed = now_ended, time.monotonic()
                    progress.update(bar, completed=ended)

    def _print_outcomes(self, outcomes: list[SampleOutcome], model: ModelInUse) -> None:
        table = Table(title="Sample results", title_justify="left", box=None, pad_edge=False)
        # Widths keep the table within eighty columns.
        table.add_column("sample", no_wrap=True, overflow="ellipsis", max_width=24)
        table.add_column("ended", no_wrap=True, max_width=21)
        for heading, width in (("runs", 4), ("facts", 5), ("tokens", 9), ("seconds", 7)):
            table.add_column(heading, justify="right", no_wrap=True, min_width=width)
        for outcome in outcomes:
            state = outcome.seen.error_kind or outcome.seen.state
            table.add_row(
                escape(outcome.sample.title),
                f"[{_COLOURS.get(outcome.seen.state, 'white')}]{state.value}[/]",
                str(outcome.seen.runs),
                str(outcome.fact_count),
                f"{outcome.prompt_tokens}+{outcome.output_tokens}" if outcome.output_tokens else "",
                f"{outcome.seconds:.2f}",
            )
        self._console.print(table)
        for outcome in outcomes:
            for fault in outcome.faults:
                self._console.print(f"[red]{escape(outcome.sample.title)}: {escape(fault)}[/red]")
        expected = sum(outcome.as_expected for outcome in outcomes)
        self._console.print(f"{expected} of {len(outcomes)} samples ended as expected, answered by {model.model}.")

    def _stay(self, password: str | None, environment: dict[str, str]) -> None:
        """Serve the admin until Ctrl-C."""
        port = free_port()
        web = Program(
            *("runserver", f"127.0.0.1:{port}", "--noreload"),
            log_file=self._logs / "web.log",
            environment=environment,
        )
        scheduler = Program("qcluster", log_file=self._logs / "qcluster.log", environment=environment)
        try:
            _wait_for_web(web, port)
            known = f"password [bold]{escape(password)}[/bold]" if password else "with the password it has"
            self._console.print(f"\nAdmin:  [bold]http://127.0.0.1:{port}/admin/[/bold]   user {USERNAME}, {known}")
            if self._own_world:
                self._console.print("Set HOLOCRON_VAR=var/demo to use other commands on this demo.")
            self._console.print("Ctrl-C stops everything.")
            while web.exit_code is None and scheduler.exit_code is None:
                time.sleep(POLL_SECONDS)
            raise HolocronError(_ended(scheduler if web.exit_code is None else web))
        except KeyboardInterrupt:
            self._console.print("\nStopping …")
        finally:
            scheduler.stop()
            web.stop()


_COLOURS = {JobStatus.SUCCEEDED: "green", JobStatus.FAILED: "yellow", JobStatus.DEADLETTER: "red"}


def _ended(program: Program) -> str:
    return f"{program.name} exited unexpectedly (exit code {program.exit_code}); see {program.log_file}"


def _wait_for_web(web: Program, port: int) -> None:
    """Return once the server accepts connections; raise HolocronError if it exits."""
    while web.exit_code is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(POLL_SECONDS)
        else:
            return
    raise HolocronError(_ended(web))


def _summary(outcomes: list[SampleOutcome], model: ModelInUse, seconds: float) -> dict[str, object]:
    states = [outcome.seen.state for outcome in outcomes]
    return {
        "jobs": len(outcomes),
        "succeeded": states.count(JobStatus.SUCCEEDED),
        "failed": states.count(JobStatus.FAILED),
        "dead_lettered": states.count(JobStatus.DEADLETTER),
        "seconds": round(seconds, 1),
        "database": connection.vendor if connection.vendor != "postgresql" else _postgresql_in_words(),
        "lake": settings.LAKE_URL,
        "model": model.model,
    }


def _postgresql_in_words() -> str:
    is_embedded = settings.DATABASES["default"]["ENGINE"].endswith("embedded_postgres")
    return "embedded postgresql" if is_embedded else "postgresql"
