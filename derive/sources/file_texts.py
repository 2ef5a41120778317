"""The text of a file, by the ending of its name."""

import hashlib

from derive.errors import SourceError
from derive.evidence.references import MAX_TEXT_CHARACTERS, Extraction
from derive.evidence.sources import MAX_SOURCE_BYTES
from derive.sources.document_child import tool_of
from derive.sources.document_reader import DOCUMENT_ENDINGS, MAX_DOCUMENT_BYTES, DocumentReader
from derive.sources.file_tree import OpenedFile
from derive.strict_types import check_storable

PLAIN_ENDINGS = frozenset({"txt", "md", "markdown"})
_PLAIN_TOOL = "utf-8"
"""What is recorded of texts that are decoded only."""
_PLAIN_VERSION = "1"


def ending_of(path: str) -> str:
    """Return the ending of a file's name in lower case, without the dot; empty without one."""
    name, dot, ending = path.rsplit("/", 1)[-1].rpartition(".")
    return ending.lower() if name and dot else ""


def token_with_tool(change_token: str | None, path: str) -> str | None:
    """Return a file's change token, which also changes when another version of its tool would read it."""
    tool = tool_of(ending_of(path)) if ending_of(path) in DOCUMENT_ENDINGS else None
    return change_token if change_token is None or tool is None else f"{change_token}-{tool[0]}-{tool[1]}"


def read_text(file: OpenedFile, path: str, reader: DocumentReader) -> tuple[str, Extraction]:
    """Return a file's text and how it was extracted; raise SourceError with the reason if there is none to be had."""
    ending = ending_of(path)
    if ending in DOCUMENT_ENDINGS:
        data = read_bytes(file, max_bytes=MAX_DOCUMENT_BYTES)
        extracted = reader.read(ending, data)
        text, tool, version = extracted.text, extracted.tool, extracted.version
    else:
        data = read_bytes(file, max_bytes=MAX_SOURCE_BYTES)
        text, tool, version = _plain_text(data), _PLAIN_TOOL, _PLAIN_VERSION
    return check_length(text), Extraction(tool=tool, version=version, original_sha256=hashlib.sha256(data).hexdigest())


def read_bytes(file: OpenedFile, *, max_bytes: int) -> bytes:
    """Return a whole file; raise SourceError if it is larger, or changes meanwhile."""
    try:
        data = file.stream.read(max_bytes + 1)
    except OSError as error:
        raise SourceError(f"it cannot be read: {error.strerror or type(error).__name__}") from error
    if len(data) > max_bytes:
        raise SourceError(f"it is larger than {max_bytes:,} bytes: split it")
    if not file.is_unchanged() or len(data) != file.byte_count:
        raise SourceError("it changed while it was read; it is read again the next time")
    return data


def check_length(text: str) -> str:
    """Return the text; raise SourceError if it is empty or longer than a job can carry."""
    if not text.strip():
        raise SourceError("it has no text")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise SourceError(f"its text is longer than {MAX_TEXT_CHARACTERS:,} characters: split it")
    return text


def _plain_text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError("it is UTF-16: save it as UTF-8")
    try:
        return check_storable(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SourceError(f"it is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except ValueError as error:
        raise SourceError(f"it is not text: it {error}") from None
