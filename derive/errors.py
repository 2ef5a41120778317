"""The error tree.

::

    HolocronError
    ├── ConfigurationError          a setting is wrong: nothing starts
    ├── RunError                    a run ended without a valid answer; each leaf is one ``error_kind``
    │   ├── UnknownInterrogation  InvalidInput  EvidenceMissing  EvidenceTooLarge
    │   │   ModelNotFound  AnswerTooLarge  SchemaRefused
    │   │   PartFailed                                        → the job fails
    │   ├── InvalidOutput  UngroundedOutput
    │   │   UnsupportedOutput                                 → retried at once with the errors found
    │   ├── TruncatedOutput                                   → retried at once with more tokens
    │   ├── ModelTimeout  ModelCrashed  InternalError         → retried after a backoff
    │   ├── ModelUnavailable (ModelAccessRefused)
    │   │   ModelOverloaded  LakeUnavailable                  → released, not counted
    │   └── Released  Cancelled                               → stopped on purpose
    ├── QueueError
    │   ├── BadArgument             a stored procedure refused an argument
    │   ├── BadContent              a constraint, a type or a size refused the values
    │   ├── DatabaseUnavailable     no answer from the database; retry the call if it is repeatable
    │   │   └── CommitUnanswered    lost during a commit: all took effect, or nothing
    │   ├── InsideTransaction       a durable call was made inside a longer transaction
    │   ├── AccessDenied            the login may not do this
    │   ├── WorkerIdInUse           another live worker uses this id
    │   └── SchemaMismatch          the database's scripts differ from this tree's
    ├── LakeError
    │   ├── LakePathRefused         a name that would leave the lake's root
    │   ├── LakeConflict            the name exists with other bytes
    │   ├── LakeFileMissing         nothing is stored under the name
    │   └── LakeFileTooLarge        the file exceeds the reader's limit
    └── SourceError                 a source, or one subject's evidence, cannot be read

A lake that cannot be read or written at all is ``LakeUnavailable``, a RunError, because it occurs during a run.
Messages never contain a secret, a prompt, evidence or an answer.
"""

import errno
import traceback
from enum import StrEnum
from typing import ClassVar


class ErrorKind(StrEnum):
    """Why a run ended without a valid answer (``run.error_kind``, ``job.error_kind``)."""

    UNKNOWN_INTERROGATION = "unknown_interrogation"
    INVALID_INPUT = "invalid_input"
    EVIDENCE_MISSING = "evidence_missing"
    EVIDENCE_TOO_LARGE = "evidence_too_large"
    MODEL_NOT_FOUND = "model_not_found"
    ANSWER_TOO_LARGE = "answer_too_large"
    SCHEMA_REFUSED = "schema_refused"
    INVALID_OUTPUT = "invalid_output"
    UNGROUNDED_OUTPUT = "ungrounded_output"
    UNSUPPORTED_OUTPUT = "unsupported_output"
    TRUNCATED_OUTPUT = "truncated_output"
    MODEL_TIMEOUT = "model_timeout"
    MODEL_CRASHED = "model_crashed"
    INTERNAL = "internal"
    MODEL_UNAVAILABLE = "model_unavailable"
    MODEL_OVERLOADED = "model_overloaded"
    LAKE_UNAVAILABLE = "lake_unavailable"
    LEASE_EXPIRED = "lease_expired"
    RELEASED = "released"
    CANCELLED = "cancelled"
    PART_FAILED = "part_failed"


class NextStep(StrEnum):
    """What happens to the job after a run without a valid answer."""

    FAIL = "fail"
    ASK_AGAIN = "ask_again"
    ASK_LONGER = "ask_longer"
    BACK_OFF = "back_off"
    GIVE_BACK = "give_back"
    STOP = "stop"


class HolocronError(Exception):
    """Any error this project raises deliberately; the message says what happened and what to do."""


class ConfigurationError(HolocronError):
    """A setting is wrong; the message is the one line the operator sees."""


class RunError(HolocronError):
    """A run ended without a valid answer."""

    kind: ClassVar[ErrorKind]
    then: ClassVar[NextStep]
    counted: ClassVar[bool] = True
    partial_answer: object | None = None
    """The model's answer when the run ended, if there was one: a ``model_servers.chat.ChatAnswer``."""


class UnknownInterrogation(RunError):
    """No interrogation of that key is registered."""

    kind = ErrorKind.UNKNOWN_INTERROGATION
    then = NextStep.FAIL


class InvalidInput(RunError):
    """The job's input does not match its interrogation's contract."""

    kind = ErrorKind.INVALID_INPUT
    then = NextStep.FAIL


class EvidenceMissing(RunError):
    """There is no evidence to ask about."""

    kind = ErrorKind.EVIDENCE_MISSING
    then = NextStep.FAIL


class EvidenceTooLarge(RunError):
    """The rendered prompt does not fit the context window."""

    kind = ErrorKind.EVIDENCE_TOO_LARGE
    then = NextStep.FAIL


class ModelNotFound(RunError):
    """The model that the job asks for is missing, or does not support schemas."""

    kind = ErrorKind.MODEL_NOT_FOUND
    then = NextStep.FAIL


class AnswerTooLarge(RunError):
    """The answer exceeded the size limit."""

    kind = ErrorKind.ANSWER_TOO_LARGE
    then = NextStep.FAIL


class PartFailed(RunError):
    """Parts of the job have no answer; a requeue of the job repeats only those."""

    kind = ErrorKind.PART_FAILED
    then = NextStep.FAIL


class SchemaRefused(RunError):
    """The model server refuses the definition's output schema; its jobs are not claimed until that changes."""

    kind = ErrorKind.SCHEMA_REFUSED
    then = NextStep.FAIL
    definition_sha256: str | None = None
    """The definition, if known where the error is raised."""


class InvalidOutput(RunError):
    """The answer is not JSON, or does not match the schema."""

    kind = ErrorKind.INVALID_OUTPUT
    then = NextStep.ASK_AGAIN


class UngroundedOutput(RunError):
    """The answer cites missing evidence, or quotes text that the evidence does not contain."""

    kind = ErrorKind.UNGROUNDED_OUTPUT
    then = NextStep.ASK_AGAIN


class UnsupportedOutput(RunError):
    """The answer states values that their own quotes contradict."""

    kind = ErrorKind.UNSUPPORTED_OUTPUT
    then = NextStep.ASK_AGAIN


class TruncatedOutput(RunError):
    """The model ran out of tokens before the answer was complete."""

    kind = ErrorKind.TRUNCATED_OUTPUT
    then = NextStep.ASK_LONGER


class ModelTimeout(RunError):
    """The model was silent for too long, or took too long in total."""

    kind = ErrorKind.MODEL_TIMEOUT
    then = NextStep.BACK_OFF


class ModelCrashed(RunError):
    """The model server failed during the call."""

    kind = ErrorKind.MODEL_CRASHED
    then = NextStep.BACK_OFF
    connection_broke: bool = False
    """Whether the connection broke, rather than the server sending something wrong."""


class InternalError(RunError):
    """A bug, or an unexpected error."""

    kind = ErrorKind.INTERNAL
    then = NextStep.BACK_OFF


class ModelUnavailable(RunError):
    """The model server is unreachable, or lacks the configured model."""

    kind = ErrorKind.MODEL_UNAVAILABLE
    then = NextStep.GIVE_BACK
    counted = False


class ModelAccessRefused(ModelUnavailable):
    """The model server refuses our credentials; nothing is served until the setting or the server changes."""


class ModelOverloaded(RunError):
    """The model server refuses more work for now."""

    kind = ErrorKind.MODEL_OVERLOADED
    then = NextStep.GIVE_BACK
    counted = False
    retry_after_seconds: float | None = None
    """How long the server asks clients to wait, if it said so."""


class LakeUnavailable(RunError):
    """The lake cannot be read or written."""

    kind = ErrorKind.LAKE_UNAVAILABLE
    then = NextStep.GIVE_BACK
    counted = False


class Released(RunError):
    """The worker released the job."""

    kind = ErrorKind.RELEASED
    then = NextStep.STOP
    counted = False


class Cancelled(RunError):
    """An operator asked to stop the run."""

    kind = ErrorKind.CANCELLED
    then = NextStep.STOP
    counted = False


class QueueError(HolocronError):
    """A call to the queue failed.

    ``is_about_content`` means that the values sent are at fault, so a retry cannot help. Any other error may be
    temporary: callers keep the values and retry.
    """

    is_about_content: ClassVar[bool] = False


class BadArgument(QueueError):
    """A stored procedure refused an argument.

    ``number`` holds the last digits of the error (1 to 99), the same on both engines.
    """

    is_about_content = True

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(message)
        self.number = number


class BadContent(QueueError):
    """The database refused the values because of a constraint, a type, a size or an encoding."""

    is_about_content = True


class DatabaseUnavailable(QueueError):
    """The database did not answer, or closed the connection."""


class CommitUnanswered(DatabaseUnavailable):
    """The connection broke during the commit of several calls: either all took effect, or none."""


class InsideTransaction(QueueError):
    """A durable call was made inside a longer transaction."""


class AccessDenied(QueueError):
    """The database login lacks the permission."""


class WorkerIdInUse(QueueError):
    """Another live worker uses this id."""


class SchemaMismatch(QueueError):
    """The scripts recorded in the database differ from this tree's."""


class LakeError(HolocronError):
    """The lake refused, for a reason that a retry cannot fix."""


class LakePathRefused(LakeError):
    """The name would leave the lake's root, or is invalid for a lake file."""


class LakeConflict(LakeError):
    """The name exists with other bytes; nothing was overwritten."""


class LakeFileMissing(LakeError):
    """Nothing is stored under the name."""


class LakeFileTooLarge(LakeError):
    """The file exceeds the reader's limit; nothing was returned."""


class SourceError(HolocronError):
    """A source, or one subject's evidence, cannot be read; the message says why."""


OUT_OF_FILES = "this process has too many open files: raise its limit (ulimit -n), or lower --concurrency"


def is_out_of_files(error: BaseException) -> bool:
    """Whether an error, or one of its causes, is the process's or machine's limit of open files."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        if isinstance(link, OSError) and link.errno in (errno.EMFILE, errno.ENFILE):
            return True
        waiting += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]
    return False


def places_of(error: BaseException, *, limit: int = 4) -> str:
    """Return an exception's type and stack locations, innermost last, without its message.

    A message may contain evidence, an answer or row values, which must not reach logs or errors.
    """
    frames = traceback.extract_tb(error.__traceback__)[-limit:]
    places = " > ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places}" if places else type(error).__name__
