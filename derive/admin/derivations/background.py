"""Plans and applications that outlive a request: a thread does the work, and every process sees how far it is.

Comparing a million subjects takes half a minute and can be divided at no point, so that steps of a request each would
begin it anew. What is asked and what came of it stands in files, one thing at a time for each derivation: a lock that
its process holds tells whether it still runs. Two at once, on two hosts, would queue nothing twice either.
"""

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import IO, Any
from uuid import UUID, uuid4

from django.db import connections
from django.utils import timezone

from derive.derivations.applying import Limits, apply_derivation
from derive.derivations.declarations import find_declared
from derive.derivations.document import applied_document, plan_document
from derive.derivations.planning import make_plan
from derive.errors import HolocronError
from derive.queue import JobQueue
from derive.strict_types import Frozen, Guid, Utc

logger = logging.getLogger(__name__)

THREAD = "derivation"
INTERRUPTED = (
    "It was interrupted, for example by a restart of the web server. What it had queued stays; start it again."
)


class NotStarted(Exception):
    """Nothing was started; the message says why."""


class Work(Frozen):
    """A plan or an application: who asked for it, and its result or error once it has ended."""

    token: Guid
    actor: str
    started_utc: Utc
    ended_utc: Utc | None = None
    result: dict[str, Any] | None = None
    """As ``derive plan --json`` and ``derive apply --json`` print it."""
    error: str = ""
    plan_token: Guid | None = None
    """The plan that an application was asked for with."""


class DerivationWork:
    """The newest plan and the newest application of one derivation, in files below ``root``."""

    def __init__(self, root: Path, key: str) -> None:
        self._key = key
        self._folder = root / hashlib.sha256(key.encode()).hexdigest()[:32]

    def plan(self) -> Work | None:
        """Return the newest plan."""
        return self._read("plan")

    def application(self) -> Work | None:
        """Return the newest application."""
        return self._read("apply")

    def start_plan(self, *, actor: str) -> None:
        """Start a plan; raise NotStarted while something runs."""
        lock = self._lock()
        self._start("plan", Work(token=uuid4(), actor=actor, started_utc=_now()), lock, self._make_plan)

    def start_application(self, plan_token: UUID, *, actor: str, reason: str, max_jobs: int | None) -> None:
        """Start an application after a plan; raise NotStarted while something runs, or if that plan is used or gone."""
        lock = self._lock()
        plan, before = self.plan(), self.application()
        why = None
        if before is not None and before.plan_token == plan_token:
            why = "This plan was applied already: plan again to see what is left."
        elif plan is None or plan.token != plan_token or plan.result is None:
            why = "There is a newer plan: look at it first."
        if why is not None:
            lock.close()
            raise NotStarted(why)
        work = Work(token=uuid4(), actor=actor, started_utc=_now(), plan_token=plan_token)

        def apply() -> dict[str, Any]:
            limits = Limits(max_jobs=max_jobs)
            declared = find_declared(self._key)
            applied = apply_derivation(declared, JobQueue(), actor=actor, reason=reason, limits=limits)
            return applied_document(self._key, applied)

        self._start("apply", work, lock, apply)

    def _make_plan(self) -> dict[str, Any]:
        return plan_document(make_plan(find_declared(self._key)))

    def _start(self, name: str, work: Work, lock: IO[bytes], do: Callable[[], dict[str, Any]]) -> None:
        self._write(name, work)
        Thread(target=self._run, args=(name, work, lock, do), name=f"{THREAD}-{name}", daemon=True).start()

    def _run(self, name: str, work: Work, lock: IO[bytes], do: Callable[[], dict[str, Any]]) -> None:
        values: dict[str, Any] = {}
        try:
            values = {"result": do()}
        except HolocronError as error:
            values = {"error": str(error)}
        except Exception:
            logger.exception("derivation.failed", extra={"derivation": self._key, "action": name})
            values = {"error": "It failed for a reason that was not foreseen; the log of the web server says more."}
        finally:
            # The thread ends; close its connections.
            connections.close_all()
            self._write(name, work.model_copy(update={**values, "ended_utc": _now()}))
            lock.close()
            extra = {"actor": work.actor, "derivation": self._key, "action": name, "error": values.get("error", "")}
            logger.info("derivation.worked", extra=extra)

    def _lock(self) -> IO[bytes]:
        """Return the file that is locked until it is closed; raise NotStarted if another has it."""
        import fcntl  # not on Windows, where the server does not run

        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self._folder / "lock").open("ab")
        except OSError as error:
            raise NotStarted(f"The folder of plans cannot be written to: {error.strerror}.") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise NotStarted(
                "A plan or an application of this derivation is running: wait until it has ended."
            ) from None
        return file

    def _read(self, name: str) -> Work | None:
        try:
            work = Work.model_validate_json((self._folder / f"{name}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if work.ended_utc is None and not self._is_running():
            # It may have ended between the two looks.
            again = Work.model_validate_json((self._folder / f"{name}.json").read_bytes())
            return again if again.ended_utc else again.model_copy(update={"ended_utc": _now(), "error": INTERRUPTED})
        return work

    def _is_running(self) -> bool:
        try:
            self._lock().close()
        except NotStarted:
            return True
        return False

    def _write(self, name: str, work: Work) -> None:
        new = self._folder / f"{name}.new"
        new.write_text(work.model_dump_json(), "utf-8")
        new.replace(self._folder / f"{name}.json")


def _now() -> datetime:
    return timezone.now()
