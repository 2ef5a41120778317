"""The program that extracts the texts of documents, in a process of its own with limits.

Run as a script by ``document_reader``, isolated and with an empty environment; it imports nothing of this project. For
each document it reads a line of JSON with ``ending``, ``byte_count`` and ``max_characters``, then the bytes, and writes
a line of JSON: ``text``, ``tool`` and ``version``, or ``reason``.
"""

import contextlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import IO

MAX_MEMORY_BYTES = 1 << 30
MAX_UNPACKED_BYTES = 200_000_000
MAX_MEMBERS = 10_000
_BLOCKS = (
    "address,article,aside,blockquote,br,caption,dd,details,div,dl,dt,fieldset,figcaption,figure,footer,form,h1,h2,h3,"
    "h4,h5,h6,header,hr,legend,li,main,nav,ol,option,p,pre,section,summary,table,title,tr,ul"
)
_UNSEEN = ("script", "style", "noscript", "template", "iframe", "object", "embed", "svg", "canvas")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


class RefusedError(Exception):
    """The document cannot be read; the text says why."""


def html_text(data: bytes, _max_characters: int) -> str:
    """Return the text of a page as a reader sees it: no scripts, no styles, nothing hidden."""
    from selectolax.lexbor import LexborHTMLParser

    page = LexborHTMLParser(_decoded(data))
    page.strip_tags(list(_UNSEEN))
    for node in page.css("[style]"):
        if _HIDDEN_STYLE.search(node.attributes.get("style") or ""):
            node.attrs["hidden"] = ""
    # One at a time: a hidden node may lie in another, which takes it along.
    while (hidden := page.css_first("[hidden]")) is not None:
        hidden.decompose()
    for node in page.css(_BLOCKS):
        node.insert_before("\n")
        node.insert_after("\n")
    for node in page.css("td,th"):
        node.insert_after("\t")
    title = page.css_first("title")
    parts = [part.text() for part in (title, page.body) if part is not None]
    lines = [" ".join(line.split()) for line in "\n".join(parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _decoded(data: bytes) -> str:
    declared = _CHARSET.search(data[:4096])
    for name in ("utf-8-sig", declared[1].decode() if declared else "utf-8"):
        with contextlib.suppress(UnicodeDecodeError, LookupError):
            return data.decode(name)
    raise RefusedError("it is not UTF-8, nor of the charset that it declares: save it as UTF-8")


def pdf_text(data: bytes, max_characters: int) -> str:
    """Return the text of all pages, in the order of the file's own text."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise RefusedError("it is encrypted: save it without a password") from error
        raise RefusedError("it is no PDF, or damaged") from error
    pages, characters = [], 0
    for page in document:
        text_page = page.get_textpage()
        # A hyphen at the end of a line comes as U+FFFE.
        text = re.sub("\ufffe\\s*", "", text_page.get_text_bounded().replace("\r\n", "\n"))
        text_page.close()
        page.close()
        pages.append(text.strip())
        characters += len(text)
        if characters > max_characters:
            break
    if not "".join(pages).strip():
        raise RefusedError("it has no text: if it is a scan, recognise its text first (OCR)")
    return "\n\n".join(pages).strip()


def docx_text(data: bytes, _max_characters: int) -> str:
    """Return paragraphs and tables in their order; without headers, footers, comments and notes."""
    _check_archive(data)
    import docx
    from docx.opc.exceptions import OpcError
    from docx.table import Table

    try:
        document = docx.Document(io.BytesIO(data))
    except (KeyError, ValueError, OpcError) as error:
        raise RefusedError("it is no Word document (docx), or damaged") from error
    lines: list[str] = []
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            lines += ["\t".join(cell.text.replace("\n", " ") for cell in row.cells) for row in block.rows]
        else:
            lines.append(block.text)
    return "\n".join(lines).strip()


def _check_archive(data: bytes) -> None:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise RefusedError("it is encrypted, or of the old format (doc): save it as docx without a password")
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except zipfile.BadZipFile as error:
        raise RefusedError("it is no Word document (docx), or damaged") from error
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise RefusedError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes or {MAX_MEMBERS:,} parts")


READERS: dict[str, tuple[str, Callable[[bytes, int], str]]] = {
    "html": ("selectolax", html_text),
    "htm": ("selectolax", html_text),
    "pdf": ("pypdfium2", pdf_text),
    "docx": ("python-docx", docx_text),
}
"""Ending to package and function."""


@cache
def tool_of(ending: str) -> tuple[str, str] | None:
    """Return the package that reads files of this ending, and its version; None if it is not installed."""
    package = READERS[ending][0]
    try:
        return package, version(package)
    except PackageNotFoundError:
        return None


def answer(ending: str, data: bytes, max_characters: int) -> dict[str, str]:
    """Return the text, or the reason why there is none."""
    try:
        text = READERS[ending][1](data, max_characters)
    except RefusedError as error:
        return {"reason": str(error)}
    except MemoryError:
        return {"reason": f"it takes more than {MAX_MEMORY_BYTES >> 20} MiB of memory to read"}
    except Exception as error:  # noqa: BLE001 - whatever a library raises for a hostile file is that file's fault
        return {"reason": f"it cannot be read: it is damaged, or not what its ending says ({type(error).__name__})"}
    if len(text) > max_characters:
        return {"reason": f"its text is longer than {max_characters:,} characters: split it"}
    package, of_version = tool_of(ending) or (READERS[ending][0], "")
    cleaned = text.replace("\x00", " ").encode("utf-8", "replace").decode()
    return {"text": cleaned, "tool": package, "version": of_version}


def limit_resources() -> None:
    """Limit this process's memory, and let it write no file; on Windows only time limits it."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def serve(asked: IO[bytes], said: IO[bytes]) -> None:
    """Answer until there is no further document."""
    while line := asked.readline():
        request = json.loads(line)
        data = asked.read(request["byte_count"])
        said.write(json.dumps(answer(request["ending"], data, request["max_characters"])).encode() + b"\n")
        said.flush()


if __name__ == "__main__":
    limit_resources()
    serve(sys.stdin.buffer, sys.stdout.buffer)
