"""Runs ``manage.py enqueue_jobs`` with parsed options; exit codes as in the command."""

import getpass
import json
import sys
from collections.abc import Set
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.core.management.base import OutputWrapper
from django.db import connection

from derive.errors import HolocronError
from derive.intake.checking import RecordCheck, RecordRefused
from derive.intake.importing import ImportCounts, ImportInterrupted, check_records, new_import_id, queue_spool
from derive.intake.line_format import LineFormat
from derive.intake.one_job import TypedJob
from derive.intake.records import Record, read_records
from derive.intake.spool import RecordSpool
from derive.interrogations.registry import Registry
from derive.live_versions import promoted_versions
from derive.management.batch_options import BatchOptions, BatchOptionsRefused
from derive.management.import_progress import ImportProgress, InterruptGuard
from derive.plural import plural
from derive.queue import JobQueue
from derive.registered_definitions import changed_definitions
from derive.sql.scripts import check_schema

QUEUED, SOMETHING_BAD, COULD_NOT_START, STOPPED = 0, 1, 2, 130
ONE_JOB_OPTIONS = (
    "interrogation",
    "entity_type",
    "entity_id",
    "evidence",
    "evidence_file",
    "priority",
    "model",
    "max_attempts",
    "available",
    "dedupe_key",
    "input_json",
)


class Enqueueing:
    """One call of the command: checks its jobs against the registry, then queues them."""

    def __init__(self, *, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
        self.stdout = stdout
        self.stderr = stderr

    def run(self, given: dict[str, Any]) -> int:
        """Queue the jobs the options name; return the exit code. Prints errors to standard error."""
        typed = [name for name in ONE_JOB_OPTIONS if given[name] not in (None, [])]
        if (given["file"] is None) == (not typed):
            self._complain("give a file (or -), or the options of one job; see --help")
            return COULD_NOT_START
        try:
            registry = Registry.load(settings.INTERROGATIONS_FOLDER)
            self._batch = BatchOptions.read(given, registry)
            if not given["dry_run"]:
                check_schema(connection)
                registry = registry.with_promoted(promoted_versions())
            return self._queue_one(registry, given) if typed else self._queue_file(registry, given)
        except OSError as error:
            self._complain(f"{error.filename or given['file']}: {error.strerror or error}")
            return COULD_NOT_START
        except BatchOptionsRefused as refused:
            self._complain(str(refused))
            return COULD_NOT_START
        except HolocronError as error:
            self._complain(str(error).strip().partition("\n")[0])
            return COULD_NOT_START

    def _queue_one(self, registry: Registry, given: dict[str, Any]) -> int:
        options = {name: given[name] for name in ONE_JOB_OPTIONS if name != "evidence_file"}
        typed = TypedJob(**options, evidence_files=given["evidence_file"])
        check = RecordCheck(registry, import_id=new_import_id())
        try:
            checked = check.check(typed.to_record(), line=1)
        except RecordRefused as refused:
            self._complain(f"not queued: {refused}")
            return SOMETHING_BAD
        if checked.lacks_evidence:
            self._complain(_no_evidence(1, of=1))
        if given["dry_run"]:
            changed = self._review(registry, check.asked_keys)
            words = "nothing was queued" if changed else "the job is valid; nothing was queued (dry run)"
            self._report(given, {"dry_run": True, "bad": 0, "changed_definitions": changed}, words)
            return SOMETHING_BAD if changed else QUEUED
        queue = JobQueue()
        batch_id = self._batch.open(queue, _actor())
        answer = queue.enqueue(checked.job, actor=_actor(), batch_id=batch_id)
        self._batch.fill(queue, _actor())
        words = "already queued as" if answer.is_duplicate else "queued as"
        self._report(given, answer.model_dump(mode="json"), f"{words} {answer.job_id} ({answer.status})")
        return QUEUED

    def _queue_file(self, registry: Registry, given: dict[str, Any]) -> int:
        if given["file"] == "-":
            return self._import(sys.stdin.buffer, None, registry, given)
        path = Path(given["file"])
        with path.open("rb") as stream:
            return self._import(stream, path, registry, given)

    def _import(self, stream: BinaryIO, path: Path | None, registry: Registry, given: dict[str, Any]) -> int:
        line_format = LineFormat(given["format"] or ("csv" if path and path.suffix.lower() == ".csv" else "jsonl"))
        import_id = given["import_id"] or new_import_id()
        with RecordSpool() as spool, ImportProgress() as shown, InterruptGuard() as stop:
            shown.start_checking(path.stat().st_size if path else None)
            records = read_records(stream, line_format, from_line=given["from_line"], on_bytes=shown.advance)

            def tell(record: Record) -> None:
                shown.say(f"line {record.line}: {record.why}")

            asked: set[str] = set()
            try:
                bad = check_records(
                    stop.watch(records),
                    registry=registry,
                    import_id=import_id,
                    spool=spool,
                    on_bad=tell,
                    on_asked=asked.update,
                )
            except KeyboardInterrupt:
                shown.say("stopped while checking; nothing was queued")
                return STOPPED
            if spool.without_evidence:
                shown.say(_no_evidence(spool.without_evidence, of=spool.count))
            totals = {"lines": spool.count + bad, "bad": bad, "dry_run": given["dry_run"]}
            totals["without_evidence"] = spool.without_evidence
            progress = ImportCounts()
            if not given["dry_run"] and (not bad or given["skip_invalid"]):
                shown.start_queueing(spool.count)
                queue = JobQueue()
                try:
                    progress = queue_spool(
                        spool,
                        queue=queue,
                        actor=_actor(),
                        batch_id=self._batch.open(queue, _actor()),
                        on_stored=lambda done: shown.reach(done.stored),
                        stop_asked=stop.asked,
                    )
                except ImportInterrupted as interrupted:
                    return self._interrupted(interrupted, import_id, totals, given, shown)
                self._batch.fill(queue, _actor())
        changed = self._review(registry, asked) if given["dry_run"] else []
        if given["dry_run"]:
            totals["changed_definitions"] = changed
        self._report(given, totals | _counts(progress) | self._batch.told(), _in_words(totals, progress))
        return SOMETHING_BAD if bad or changed else QUEUED

    def _review(self, registry: Registry, keys: Set[str]) -> list[str]:
        """Print what an author should know of the interrogations asked for; return those that workers would refuse."""
        asked = [registry.get(key) for key in sorted(keys)]
        for one in asked:
            for warning in one.warnings:
                self._complain(f"{one.definition}: {warning}")
        try:
            changed = changed_definitions(asked) if _has_database() else {}
        except HolocronError:
            changed = {}  # a dry run needs no database
        for problem in changed.values():
            self._complain(problem)
        return list(changed)

    def _interrupted(
        self,
        interrupted: ImportInterrupted,
        import_id: UUID,
        totals: dict[str, Any],
        given: dict[str, Any],
        shown: ImportProgress,
    ) -> int:
        progress = interrupted.progress
        reason = "stopped" if interrupted.__cause__ is None else f"interrupted: {interrupted.__cause__}"
        stored = "nothing was queued" if progress.last_line is None else f"queued up to line {progress.last_line}"
        onward = f"--from-line {interrupted.next_line} --import-id {import_id}"
        shown.say(f"{reason}; {stored}; continue with {onward}")
        if given["json"]:
            more = {"interrupted": True, "next_line": interrupted.next_line, "import_id": str(import_id)}
            self.stdout.write(json.dumps(totals | _counts(progress) | more))
        return STOPPED if interrupted.__cause__ is None else COULD_NOT_START

    def _report(self, given: dict[str, Any], values: dict[str, Any], words: str) -> None:
        self.stdout.write(json.dumps(values) if given["json"] else words)

    def _complain(self, words: str) -> None:
        self.stderr.write(f"enqueue_jobs: {words}")


def _has_database() -> bool:
    """Whether there is a database to ask; looking must not make the embedded one."""
    embedded = connection.settings_dict.get("EMBEDDED_FOLDER")
    return embedded is None or Path(embedded).exists()


def _no_evidence(number: int, *, of: int) -> str:
    some = "the job carries" if of == 1 else f"{number:,} of {plural(of, 'job')} carr{'ies' if number == 1 else 'y'}"
    return f"warning: {some} no evidence and will fail with evidence_missing; the model is not asked"


def _counts(progress: ImportCounts) -> dict[str, Any]:
    return {"queued": progress.queued, "duplicates": progress.duplicates, "last_line": progress.last_line}


def _in_words(totals: dict[str, Any], progress: ImportCounts) -> str:
    read = f"{plural(totals['lines'], 'job')} read, {totals['bad']:,} invalid"
    if totals["dry_run"]:
        return f"{read}; nothing was queued (dry run)"
    if totals["bad"] and not progress.stored:
        others = ", or queue the others with --skip-invalid" if totals["bad"] < totals["lines"] else ""
        return f"{read}; nothing was queued: fix the invalid lines{others}"
    return f"{read}, {progress.queued:,} queued, {progress.duplicates:,} already queued"


def _actor() -> str | None:
    """Return the OS user; None, for which the database login is recorded, if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None
