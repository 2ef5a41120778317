"""What each kind of error means for whoever has to fix it: the likely cause, the fix, and the actions that do it."""

from collections.abc import Iterable
from dataclasses import dataclass

from derive.admin.display.commands import pull_command
from derive.errors import ErrorKind
from derive.states import REQUEUEABLE


@dataclass(frozen=True)
class Fix:
    """``actions`` names those of ``bulk.actions`` that fix it, the likeliest first."""

    cause: str
    fix: str
    actions: tuple[str, ...] = ("requeue",)
    is_of_input: bool = False
    """Whether only another input helps, so that requeueing repeats the failure."""


MAX_COMMANDS = 5
_LARGER_MODEL = ("model", "requeue")
FIXES = {
    ErrorKind.UNKNOWN_INTERROGATION: Fix(
        "No worker knows this interrogation.", "Install it for every worker, then requeue."
    ),
    ErrorKind.INVALID_INPUT: Fix(
        "The input does not match the interrogation's contract; the message names the member.",
        "Open a job, choose Edit and resubmit, and correct its input.",
        is_of_input=True,
    ),
    ErrorKind.EVIDENCE_MISSING: Fix(
        "There was no text to ask about: none was given, or a file is gone. The model was not asked.",
        "Open a job, choose Edit and resubmit, and add evidence.",
        is_of_input=True,
    ),
    ErrorKind.EVIDENCE_TOO_LARGE: Fix(
        "The prompt does not fit the model's context window.",
        "Raise OLLAMA_NUM_CTX, or the model's own num_ctx, and requeue; or resubmit with less evidence.",
    ),
    ErrorKind.MODEL_NOT_FOUND: Fix(
        "The model that the jobs ask for is on no server, or does not enforce schemas.",
        "Pull the model on its server and requeue; or change the model, then requeue.",
        ("requeue", "model"),
    ),
    ErrorKind.ANSWER_TOO_LARGE: Fix(
        "The answer passed the size limit: usually a model that repeats itself.",
        "Lower num_predict or bound the schema's lists, then requeue; or change the model.",
        ("requeue", "model"),
    ),
    ErrorKind.SCHEMA_REFUSED: Fix(
        "The model server refuses the output schema.",
        "manage.py check_interrogations shows why. Publish a version with a simpler schema, then requeue.",
    ),
    ErrorKind.INVALID_OUTPUT: Fix(
        "The answers are no JSON, or do not match the schema.", "Change to a larger model, then requeue.", _LARGER_MODEL
    ),
    ErrorKind.UNGROUNDED_OUTPUT: Fix(
        "The answers cite evidence that does not exist, or quote words that are not there.",
        "Change to a larger model, then requeue; or resubmit with shorter evidence.",
        _LARGER_MODEL,
    ),
    ErrorKind.UNSUPPORTED_OUTPUT: Fix(
        "A quote contradicts the value it is cited for.", "Change to a larger model, then requeue.", _LARGER_MODEL
    ),
    ErrorKind.PART_FAILED: Fix(
        "A part of long evidence ended without an answer, and the interrogation takes no partial ones.",
        "Open the job's parts and fix what made them fail, then requeue the job: only those parts are repeated.",
    ),
    ErrorKind.TRUNCATED_OUTPUT: Fix(
        "The model ran out of tokens before its answer ended.",
        "Raise OLLAMA_NUM_PREDICT, or the model's own num_predict, then requeue.",
    ),
    ErrorKind.MODEL_TIMEOUT: Fix(
        "The model server was silent or slow for longer than its limits.",
        "Give WORKER_CONCURRENCY and OLLAMA_NUM_PARALLEL the same value, or raise the limits, then requeue.",
        ("requeue", "model"),
    ),
    ErrorKind.MODEL_CRASHED: Fix(
        "The model server failed during the call: usually it ran out of memory.",
        "Read its log; use a smaller context window or model, then requeue.",
        ("requeue", "model"),
    ),
    ErrorKind.INTERNAL: Fix(
        "A bug in Holocron or in an interrogation's own code, or a row that the database refused.",
        "The worker's log has the place. Fix it, then requeue.",
    ),
    ErrorKind.MODEL_UNAVAILABLE: Fix(
        "The model server did not answer, refused the key, or lacks the configured model.",
        "Start it or correct OLLAMA_BASE_URL. Workers continue by themselves.",
    ),
    ErrorKind.MODEL_OVERLOADED: Fix("The model server had too much to do.", "Use fewer slots, or more servers."),
    ErrorKind.LAKE_UNAVAILABLE: Fix(
        "The lake could not be read or written.", "Free space, mount it, or correct LAKE_URL; then requeue."
    ),
    ErrorKind.LEASE_EXPIRED: Fix(
        "The worker was killed, paused or cut off for longer than its lease.",
        "Requeue. If it happens to one job again and again, look at its evidence.",
    ),
    ErrorKind.RELEASED: Fix("A worker gave the job back, usually because it was stopped.", "Nothing needs fixing."),
    ErrorKind.CANCELLED: Fix("Somebody cancelled the job.", "Requeue it if that was a mistake."),
}


def fix_for(error_kind: str | None) -> Fix | None:
    """Return what helps against a kind of error; None for an unknown one."""
    return FIXES[ErrorKind(error_kind)] if error_kind in set(ErrorKind) else None


def commands_for(error_kind: str, models: Iterable[str]) -> list[str]:
    """Return what somebody runs on the model server, where that is the fix; at most ``MAX_COMMANDS``."""
    if error_kind != ErrorKind.MODEL_NOT_FOUND:
        return []
    return [pull_command(model) for model in sorted(set(models))[:MAX_COMMANDS]]


def quick_actions(*, status: str, error_kind: str) -> tuple[str, ...]:
    """Return the actions to offer for all jobs of a list filtered by these (empty: not filtered)."""
    if status and status not in REQUEUEABLE:
        return ()
    if found := fix_for(error_kind):
        return () if found.is_of_input else found.actions
    return ("requeue",) if status else ()
