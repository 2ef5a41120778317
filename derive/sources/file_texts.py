"""The text of a file, by the ending of its name."""

from derive.errors import SourceError
from derive.evidence.references import MAX_TEXT_CHARACTERS
from derive.evidence.sources import MAX_SOURCE_BYTES
from derive.sources.file_tree import OpenedFile
from derive.strict_types import check_storable

PLAIN_ENDINGS = frozenset({"txt", "md", "markdown"})


def ending_of(path: str) -> str:
    """Return the ending of a file's name in lower case, without the dot; empty without one."""
    return path.rsplit("/", 1)[-1].rpartition(".")[2].lower() if "." in path.rsplit("/", 1)[-1] else ""


def read_bytes(file: OpenedFile, *, max_bytes: int) -> bytes:
    """Return a whole file; raise SourceError if it is larger, or changes meanwhile."""
    data = _read(file, max_bytes + 1)
    if len(data) > max_bytes:
        raise SourceError(f"it is larger than {max_bytes:,} bytes: split it")
    if not file.is_unchanged() or len(data) != file.byte_count:
        raise SourceError("it changed while it was read; it is read again the next time")
    return data


def plain_text(data: bytes) -> str:
    """Return UTF-8 text without its byte-order mark; raise SourceError if it is not text or too long."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError("it is UTF-16: save it as UTF-8")
    try:
        return check_length(check_storable(data.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise SourceError(f"it is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except ValueError as error:
        raise SourceError(f"it is not text: it {error}") from None


def check_length(text: str) -> str:
    """Return the text; raise SourceError if it is empty or longer than a job can carry."""
    if not text.strip():
        raise SourceError("it has no text")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise SourceError(f"its text is longer than {MAX_TEXT_CHARACTERS:,} characters: split it")
    return text


def _read(file: OpenedFile, max_bytes: int) -> bytes:
    try:
        return file.stream.read(max_bytes)
    except OSError as error:
        raise SourceError(f"it cannot be read: {error.strerror or type(error).__name__}") from error


MAX_PLAIN_BYTES = MAX_SOURCE_BYTES
