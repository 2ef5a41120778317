"""The error tree.

::

    HolocronError
    ├── ConfigurationError          a setting is wrong: nothing starts
    ├── RunError                    a run ended without a valid answer; each leaf is one ``error_kind``
    │   ├── UnknownInterrogation  InvalidInput  EvidenceMissing  EvidenceTooLarge
    │   │   ModelNotFound  AnswerTooLarge  SchemaRefused      → the job fails
    │   ├── InvalidOutput  UngroundedOutput
    │   │   UnsupportedOutput                                 → asked again at once, told what was wrong
    │   ├── TruncatedOutput                                   → asked again at once with more room
    │   ├── ModelTimeout  ModelCrashed  InternalError         → tried again after a backoff
    │   ├── ModelUnavailable (ModelAccessRefused)
    │   │   ModelOverloaded  LakeUnavailable                  → given back, not counted
    │   └── Released  Cancelled                               → stopped on purpose
    ├── QueueError
    │   ├── BadArgument             a stored procedure refused an argument
    │   ├── BadContent              a constraint, a type or a size refused the values
    │   ├── DatabaseUnavailable     no answer from the database; the call may be said again if it is repeatable
    │   │   └── CommitUnanswered    it went away while it committed: all is done, or nothing
    │   ├── InsideTransaction       a durable call was made inside a longer transaction
    │   ├── AccessDenied            the login may not do this
    │   ├── WorkerIdInUse           another live worker goes by this id
    │   └── SchemaMismatch          the database's scripts are not this tree's
    └── LakeError
        ├── LakePathRefused         a name that would leave the lake's root
        ├── LakeConflict            the name is taken by other bytes
        ├── LakeFileMissing         nothing is stored under the name
        └── LakeFileTooLarge        the file is larger than the reader's bound

A lake that cannot be read or written at all is ``LakeUnavailable``, since a run meets it.
Messages never hold a secret, a prompt, evidence or an answer.
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


class Then(StrEnum):
    """What happens to the job after a run that ended without a valid answer."""

    FAIL = "fail"
    ASK_AGAIN = "ask_again"
    ASK_LONGER = "ask_longer"
    BACK_OFF = "back_off"
    GIVE_BACK = "give_back"
    STOP = "stop"


class HolocronError(Exception):
    """Anything this project raises on purpose; the message says what happened and what to do."""


class ConfigurationError(HolocronError):
    """A setting is wrong; the message is the one line the operator reads."""


class RunError(HolocronError):
    """A run ended without a valid answer."""

    kind: ClassVar[ErrorKind]
    then: ClassVar[Then]
    counted: ClassVar[bool] = True
    partial_answer: object | None = None
    """What the model had answered when the run ended, if it came that far: a ``model_servers.chat.ChatAnswer``."""


class UnknownInterrogation(RunError):
    """No interrogation of that key is registered."""

    kind = ErrorKind.UNKNOWN_INTERROGATION
    then = Then.FAIL


class InvalidInput(RunError):
    """The job's input does not fit its interrogation's contract."""

    kind = ErrorKind.INVALID_INPUT
    then = Then.FAIL


class EvidenceMissing(RunError):
    """There is nothing to ask the model about."""

    kind = ErrorKind.EVIDENCE_MISSING
    then = Then.FAIL


class EvidenceTooLarge(RunError):
    """The rendered prompt cannot fit the context window."""

    kind = ErrorKind.EVIDENCE_TOO_LARGE
    then = Then.FAIL


class ModelNotFound(RunError):
    """The model that the job itself asks for is not there, or cannot answer by a schema."""

    kind = ErrorKind.MODEL_NOT_FOUND
    then = Then.FAIL


class AnswerTooLarge(RunError):
    """The answer passed the bound on what is read."""

    kind = ErrorKind.ANSWER_TOO_LARGE
    then = Then.FAIL


class SchemaRefused(RunError):
    """The model server refuses the definition's output schema; no job of it is claimed until that changes."""

    kind = ErrorKind.SCHEMA_REFUSED
    then = Then.FAIL
    definition_sha256: str | None = None
    """Whose schema it is, as far as known where the error is raised."""


class InvalidOutput(RunError):
    """The answer is not JSON, or not the schema."""

    kind = ErrorKind.INVALID_OUTPUT
    then = Then.ASK_AGAIN


class UngroundedOutput(RunError):
    """The answer cites evidence that does not exist, or words that do not occur in it."""

    kind = ErrorKind.UNGROUNDED_OUTPUT
    then = Then.ASK_AGAIN


class UnsupportedOutput(RunError):
    """The answer states values that their own quotes refute."""

    kind = ErrorKind.UNSUPPORTED_OUTPUT
    then = Then.ASK_AGAIN


class TruncatedOutput(RunError):
    """The model ran out of room before the answer was whole."""

    kind = ErrorKind.TRUNCATED_OUTPUT
    then = Then.ASK_LONGER


class ModelTimeout(RunError):
    """The model sent nothing for too long, or took too long in all."""

    kind = ErrorKind.MODEL_TIMEOUT
    then = Then.BACK_OFF


class ModelCrashed(RunError):
    """The model server failed in the middle of the call."""

    kind = ErrorKind.MODEL_CRASHED
    then = Then.BACK_OFF


class InternalError(RunError):
    """A bug, or an unexpected error."""

    kind = ErrorKind.INTERNAL
    then = Then.BACK_OFF


class ModelUnavailable(RunError):
    """The model server cannot be reached, or lacks the configured model."""

    kind = ErrorKind.MODEL_UNAVAILABLE
    then = Then.GIVE_BACK
    counted = False


class ModelAccessRefused(ModelUnavailable):
    """The model server refuses our credentials: nobody is served until a setting, or the server's, is changed."""


class ModelOverloaded(RunError):
    """The model server refuses more work for now."""

    kind = ErrorKind.MODEL_OVERLOADED
    then = Then.GIVE_BACK
    counted = False
    retry_after_seconds: float | None = None
    """How long the server wants to be left alone, as far as it said."""


class LakeUnavailable(RunError):
    """The lake cannot be read or written."""

    kind = ErrorKind.LAKE_UNAVAILABLE
    then = Then.GIVE_BACK
    counted = False


class Released(RunError):
    """The worker released the job."""

    kind = ErrorKind.RELEASED
    then = Then.STOP
    counted = False


class Cancelled(RunError):
    """An operator asked for the run to stop."""

    kind = ErrorKind.CANCELLED
    then = Then.STOP
    counted = False


class QueueError(HolocronError):
    """A call to the queue did not do what was asked.

    ``is_about_content`` says that the values sent are at fault, so that a retry cannot help. Every other error may
    pass: callers keep what they have to send and retry.
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
    """The database refused the values: a constraint, a type, a size or an encoding."""

    is_about_content = True


class DatabaseUnavailable(QueueError):
    """The database did not answer, or closed the connection."""


class CommitUnanswered(DatabaseUnavailable):
    """The database went away while it committed several calls as one: all of them are done, or none."""


class InsideTransaction(QueueError):
    """A durable call was made inside a longer transaction."""


class AccessDenied(QueueError):
    """The database login may not do this."""


class WorkerIdInUse(QueueError):
    """Another live worker uses this id."""


class SchemaMismatch(QueueError):
    """The scripts recorded in the database are not those of this tree."""


class LakeError(HolocronError):
    """The lake refused, for a reason that a retry cannot fix."""


class LakePathRefused(LakeError):
    """The name would leave the lake's root, or is none that a lake file can bear."""


class LakeConflict(LakeError):
    """The name is taken by other bytes; nothing was overwritten."""


class LakeFileMissing(LakeError):
    """Nothing is stored under the name."""


class LakeFileTooLarge(LakeError):
    """The file is larger than the reader's bound; nothing of it was returned."""


OUT_OF_FILES = "this process has too many open files: raise its limit (ulimit -n), or lower --concurrency"


def is_out_of_files(error: BaseException) -> bool:
    """Return whether an error, or one that it came from, is the limit of open files of the process or the machine."""
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
    """Return an exception's type and the places it came through, innermost last, without its message.

    A message may hold evidence, an answer or a row's values, which belong in no log and no error.
    """
    frames = traceback.extract_tb(error.__traceback__)[-limit:]
    places = " > ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places}" if places else type(error).__name__
