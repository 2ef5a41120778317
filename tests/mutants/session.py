"""One warmed pytest process that tests many mutants: ``-p tests.mutants.session``.

It collects the targets' tests. Every mutant is put into a fork of the process, or into the running database, and the
tests are run until the first fails; those of a module first once as things are, to know which of its functions each one
calls. A test that noticed a mutant has to pass without it. A survivor among the Python mutants is tried again by a new
process that imports it: what was built before the fork knows no mutant.
"""

import gc
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, cast

import psycopg
import pytest
from django.db import DatabaseError, connection, connections
from pytest_django.plugin import blocking_manager_key

from derive.sql.scripts import _run
from tests.mutants.grafting import Imported, NotGraftable, changed_function
from tests.mutants.mutation import PATH_VARIABLE, ROOT, TEXT_VARIABLE, Mutant
from tests.mutants.plugin import read_as
from tests.mutants.results import Journal, Result, Verdict
from tests.mutants.targets import PROCEDURES, TARGETS, Target

PLAN_VARIABLE = "MUTANTS_PLAN"
"""The file with the plan: the names of the mutants to test, and the journal's path."""
LEAST_SECONDS = 20.0
TIMES_AS_LONG = 8
"""A test may take so long, and so many times as long as without a mutant: what takes longer hangs."""
SUPPOSED_SECONDS = 10.0
"""How long a test takes that has not run without a mutant yet."""
ALONE_SECONDS = 300.0

_CALLED = re.compile(r"llm\.(\w+)")
_MADE = re.compile(r"^CREATE (?:OR REPLACE )?FUNCTION llm\.(\w+)", re.MULTILINE)
_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the plan in place of the tests."""
    plan = json.loads(Path(os.environ[PLAN_VARIABLE]).read_text("utf-8"))
    warm, journal = Warm(session), Journal(Path(plan["journal"]))
    planned = {mutant.name: (target, mutant) for target in TARGETS for mutant in target.mutants()}
    for target, named in groupby((planned[name] for name in plan["names"]), key=itemgetter(0)):
        warm.make_ready(target)
        trial = Trial(target, warm, _look_at_imports())
        for _target, mutant in named:
            journal.append(trial.result_of(mutant))
    return True


def _look_at_imports() -> Imported:
    """Look up what is imported by now, and keep a child's collection from copying every page that it looks at."""
    gc.unfreeze()
    imported = Imported()
    gc.collect()
    gc.freeze()
    return imported


class Warm:
    """The collected tests, how long each takes without a mutant, and what of the targets it calls."""

    def __init__(self, session: pytest.Session) -> None:
        self.session = session
        self.seconds: dict[str, float] = {}
        self.touched: dict[str, set[str]] = {}
        self.kills: Counter[str] = Counter()
        self._failures: list[pytest.TestReport] = []
        session.config.pluginmanager.register(self, "warm")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failures.append(report)

    def make_ready(self, target: Target) -> None:
        """Run a module's tests, or one of a procedure's, which makes the database that its mutants are put into."""
        items = self.tests_of(target, None)
        for item in items[:1] if target.path.startswith(PROCEDURES) else items:
            self.look_at(item)

    def look_at(self, item: pytest.Item) -> None:
        """Run a test as things are, if it has not run yet; raise pytest.Session.Failed when it fails twice."""
        if item.nodeid in self.touched:
            return
        started = time.monotonic()
        with _touching() as touched:
            failed = self.fails(item)
        self.seconds[item.nodeid] = time.monotonic() - started
        self.touched[item.nodeid] = touched
        if failed and (failure := self.fails(item)):
            raise self.session.Failed(f"{item.nodeid} fails without a mutant:\n{failure.longreprtext}")

    def fails(self, item: pytest.Item) -> pytest.TestReport | None:
        """Run one test and return how it failed."""
        self._failures.clear()
        # Nothing stays set up but what belongs to the session.
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=cast(pytest.Item, self.session))
        return self._failures[0] if self._failures else None

    def tests_of(self, target: Target, touching: str | None) -> list[pytest.Item]:
        """Return a target's tests without those known not to touch, the first those that killed a mutant already."""
        items = [item for item in self.session.items if item.nodeid.startswith(target.tests)]
        if touching is not None:
            items = [item for item in items if touching in self.touched.get(item.nodeid, {touching})]
        return sorted(items, key=lambda item: (-self.kills[item.nodeid], self.seconds.get(item.nodeid, 0.0)))

    @contextmanager
    def database(self) -> Iterator[None]:
        """Let the database be used outside of a test, then leave no connection behind."""
        with self.session.config.stash[blocking_manager_key].unblock():
            try:
                yield
            finally:
                connections.close_all()

    @property
    def has_database(self) -> bool:
        """Whether a test made the test database."""
        return str(connection.settings_dict["NAME"]).startswith("test_")


class Trial:
    """The mutants of one file, each put to its tests."""

    def __init__(self, target: Target, warm: Warm, imported: Imported) -> None:
        self._target = target
        self._warm = warm
        self._imported = imported

    def result_of(self, mutant: Mutant) -> Result:
        """Test one mutant."""
        started = time.monotonic()
        if mutant.path.endswith(".py"):
            verdict, killer = self._python(mutant)
        elif mutant.path.startswith(PROCEDURES):
            verdict, killer = self._procedure(mutant)
        else:
            verdict, killer = self._forked(mutant, None)
        if killer:
            self._warm.kills[killer] += 1
            # What fails without the mutant as well has noticed nothing.
            for item in self._warm.tests_of(self._target, None):
                if item.nodeid == killer:
                    self._warm.look_at(item)
        return Result.of(mutant, self._target, verdict, killer, time.monotonic() - started)

    def _python(self, mutant: Mutant) -> tuple[Verdict, str]:
        function = changed_function(mutant)
        if function is not None:
            verdict, killer = self._forked(mutant, f"{mutant.path} {function}")
            if verdict is not Verdict.SURVIVED:
                return verdict, killer
        return _imported(mutant, [item.nodeid for item in self._warm.tests_of(self._target, None)])

    def _procedure(self, mutant: Mutant) -> tuple[Verdict, str]:
        """Install the mutant in the running database, and the procedure itself afterwards."""
        assert self._warm.has_database, "procedures are only exchanged in a test database"
        try:
            with self._warm.database():
                _run(connection, mutant.text)
            return self._forked(mutant, Path(mutant.path).stem)
        except DatabaseError:
            return Verdict.INVALID, ""
        finally:
            with self._warm.database():
                _run(connection, self._target.source())

    def _forked(self, mutant: Mutant, touching: str | None) -> tuple[Verdict, str]:
        items = self._warm.tests_of(self._target, touching)
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Threads that a test left behind do not run in the child, which needs none of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os.close(reading)
            self._become_mutant(mutant, items, writing)
        os.close(writing)
        try:
            return self._watch(child, reading)
        finally:
            os.close(reading)
            if self._warm.has_database:
                with self._warm.database(), connection.cursor() as cursor:
                    cursor.execute(_END_OTHERS)

    def _become_mutant(self, mutant: Mutant, items: Sequence[pytest.Item], writing: int) -> NoReturn:
        """Run the tests until one fails; tell which runs, and "" after the last. Nothing of the parent may go on."""
        os.setsid()
        status = 1
        try:
            if mutant.path.endswith(".py"):
                self._imported.graft(mutant)
            elif not mutant.path.startswith(PROCEDURES):
                read_as(mutant.path, mutant.text)
            self._imported.forget_what_was_cached()
            for item in items:
                os.write(writing, f"{item.nodeid}\n".encode())
                if self._warm.fails(item):
                    break
            else:
                os.write(writing, b"\n")
            status = 0
        except NotGraftable:
            os.write(writing, b"\n")
            status = 0
        except BaseException:  # noqa: BLE001 (a forked process's edge)
            traceback.print_exc()
        finally:
            os._exit(status)

    def _watch(self, child: int, reading: int) -> tuple[Verdict, str]:
        """Follow a child by the tests it names, each of which has its time."""
        told, current, limit = b"", "", LEAST_SECONDS
        while True:
            ready, _, _ = select.select([reading], [], [], limit)
            if not ready:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return Verdict.TIMED_OUT, current
            got = os.read(reading, 65536)
            told += got
            *_, current = told.decode().splitlines() or [""]
            limit = LEAST_SECONDS + TIMES_AS_LONG * self._warm.seconds.get(current, SUPPOSED_SECONDS)
            if not got:
                _, status = os.waitpid(child, 0)
                if not told:
                    raise RuntimeError("a mutant's process ended before its first test: see above")
                survived = current == "" and status == 0
                return (Verdict.SURVIVED, "") if survived else (Verdict.KILLED, current)


def _imported(mutant: Mutant, tests: Sequence[str]) -> tuple[Verdict, str]:
    """Test a mutant by a pytest of its own, which imports it."""
    with tempfile.TemporaryDirectory() as folder:
        text, report = Path(folder, "mutant"), Path(folder, "report")
        text.write_text(mutant.text, "utf-8")
        environment = {**os.environ, PATH_VARIABLE: mutant.path, TEXT_VARIABLE: str(text)}
        options = [
            "-x",
            "-q",
            "-n0",
            "--tb=native",
            "-p",
            "tests.mutants.plugin",
            "-p",
            "no:cacheprovider",
            "--reuse-db",
        ]
        with report.open("wb") as output:
            try:
                status = subprocess.run(
                    [sys.executable, "-m", "pytest", *options, *tests],
                    cwd=ROOT,
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=ALONE_SECONDS,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                return Verdict.TIMED_OUT, ""
        if status == pytest.ExitCode.OK:
            return Verdict.SURVIVED, ""
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", report.read_text("utf-8", "replace"), re.MULTILINE)
        return Verdict.KILLED, failed[1] if failed and "::" in failed[1] else ""


@contextmanager
def _touching() -> Iterator[set[str]]:
    """Yield a set that fills with what of the targets is called meanwhile: procedures, and functions by file."""
    touched: set[str] = set()

    def notice(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and (path := _targets_path(frame.f_code.co_filename)):
            touched.add(f"{path} {_outermost(frame)}")

    execute = psycopg.Cursor.execute

    def execute_noticed(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        for name in _CALLED.findall(str(query)):
            touched.update(_calling(name))
        return execute(self, query, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute_noticed)
        threading.setprofile(notice)
        sys.setprofile(notice)
        try:
            yield touched
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def _outermost(frame: FrameType) -> str:
    """The function as ``changed_function`` names it: an inner one is part of the one around it."""
    return frame.f_code.co_qualname.partition(".<locals>")[0]


@cache
def _targets_path(filename: str) -> str | None:
    paths = {str(ROOT / target.path): target.path for target in TARGETS if target.path.endswith(".py")}
    return paths.get(filename)


@cache
def _calling(function: str) -> frozenset[str]:
    """The script that makes a function, and those whose functions it calls, by their names."""
    found: set[str] = set()
    unread = [function]
    while unread:
        script = _scripts().get(unread.pop())
        if script is not None and script.stem not in found:
            found.add(script.stem)
            unread += _CALLED.findall(re.sub(r"--.*", "", script.read_text("utf-8")))
    return frozenset(found)


@cache
def _scripts() -> dict[str, Path]:
    """The procedures' scripts by the functions that they make."""
    scripts = Path(ROOT, PROCEDURES).glob("*.sql")
    return {function: script for script in scripts for function in _MADE.findall(script.read_text("utf-8"))}
