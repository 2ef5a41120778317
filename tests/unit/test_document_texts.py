"""Texts of HTML, PDF and Word files: what a reader sees, and a clear reason for each hostile file."""

import base64
import io
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import docx
import pytest

from derive.errors import SourceError
from derive.sources import document_child
from derive.sources.document_child import answer
from derive.sources.document_reader import DocumentReader

LIMIT = 1_000_000
# Written once by pypdf 7.1: one empty page behind the password "secret", compressed.
ENCRYPTED = zlib.decompress(
    base64.b64decode(
        "eNqNUU1v00AQve+vmEuOdHdnPy1ZOdA2EgLUKC1cUA/7MRuCIrtyHKnlT3LgH8AfYWOgWIQD1lqy37z3ZnbeYn21eiEvFFt8+/7lK5MgoI+fWN"
        "syvh76fEw0QFtIS22FQbVkyyWjLp84OOPePT0Q8HXY0oHxy/7YjSAZf73LB/gAuhI3cD+TqjPpZRjDvt+ynx5w8t7MBPqfvRjf0KE/DqkqaqXS"
        "+VvKu/Cyf6xtxYWYXoenc3+yHqgO9re3mXm/B6ymoBh/Q912/AgSfRWCxkY31mFTy6vdfqxb4bdj6HIYMuM30AoyWKsmKNLknU4qlZAiFSNlcC"
        "okTQlj9tbklFXWFp2VupEuxJId6Tr6O2hTI3JIhCVXm2gxGIlZ2UKoQ3Jeo49Fk6ktnPFBS6uFqP+2lBKEFH4ez+NAhQmwTDw/YI1RBgo8Y7Je"
        "fqp0fzDTnGFS+nPMujMM59pxCLs9DdNeb3efqY7CN30/gpoC4K+60oP89X1VA2tjsj46ETEKLzPaxqAwssGQi29Qp+X/UGrQ110anh5GML+TPo"
        "xhGKeFaKfZYnF9s2I/AHzvwy4="
    )
)


def pdf_of(*pages: str) -> bytes:
    """A PDF of the given pages, each one line of text."""
    kids = " ".join(f"{3 + 2 * place} 0 R" for place in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    for place, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET"
        font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
        page = f"/Parent 2 0 R /MediaBox [0 0 600 200] /Contents {4 + 2 * place} 0 R"
        objects += [
            f"<< /Type /Page {page} /Resources << /Font << /F1 {font} >> >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    written, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n"
    )
    return written + f"{end}startxref\n{len(written)}\n%%EOF\n".encode()


def docx_of(*paragraphs: str) -> bytes:
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "left", "right"
    document.add_paragraph("last")
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


@pytest.fixture
def reader() -> Iterator[DocumentReader]:
    with DocumentReader() as reader:
        yield reader


def test_a_page_gives_what_its_reader_sees() -> None:
    page = """<!doctype html><html><head><title>Title</title><style>p{}</style><script>alert("<p>no")</script></head>
    <body onload="x()"><!-- no --><p>One <b>wo</b>rd &amp; more<br>next   line</p><noscript>no</noscript>
    <div hidden>no<p hidden>no</p></div><div style="color:red; Display : NONE">no</div><template><p>no</template>
    <ul><li>a<li>b</ul><table><tr><td>1<td>2</table><svg><text>no</text></svg><p>end"""
    text = answer("html", page.encode(), LIMIT)["text"]
    assert "no" not in text.split()
    assert [line for line in text.split("\n") if line] == [
        "Title", "One word & more", "next line", "a", "b", "1 2", "end",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbf<p>gr\xc3\xb6\xc3\x9fer", "größer"),
        (b'<meta charset="iso-8859-1"><p>gr\xf6\xdfer', "größer"),
        (b'<meta http-equiv=x content="text/html; charset=windows-1252"><p>\x80 5', "€ 5"),
    ],
)
def test_a_page_is_read_in_its_own_charset(data: bytes, text: str) -> None:
    assert answer("html", data, LIMIT)["text"] == text


def test_a_page_of_an_unknown_charset_says_so() -> None:
    assert "not UTF-8" in answer("html", b"<p>gr\xf6\xdfer", LIMIT)["reason"]
    assert "not UTF-8" in answer("html", b'<meta charset="base64"><p>gr\xf6\xdfer', LIMIT)["reason"]


def test_a_pdf_gives_the_text_of_all_its_pages(reader: DocumentReader) -> None:
    found = reader.read("pdf", pdf_of("First page", "Second page"))
    assert found.text == "First page\n\nSecond page"
    assert (found.tool, bool(found.version)) == ("pypdfium2", True)


def test_a_word_file_gives_paragraphs_and_tables_in_their_order(reader: DocumentReader) -> None:
    found = reader.read("docx", docx_of("Größe", "second"))
    assert found.text == "Größe\nsecond\nleft\tright\nlast"
    assert found.tool == "python-docx"


def test_one_child_reads_many_documents_and_ends_with_its_reader(reader: DocumentReader) -> None:
    reader.read("html", b"<p>one")
    child = reader._child
    assert reader.read("html", b"<p>two").text == "two"
    assert reader._child is child is not None
    reader.close()
    assert child.returncode is not None


def bomb() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        zeros = b"\x00" * 10_000_000
        for number in range(21):
            archive.writestr(f"word/{number}.xml", zeros)
    return written.getvalue()


def laughs() -> bytes:
    """A Word file whose XML names entities of entities."""
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    source, written = io.BytesIO(docx_of("text")), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "word/document.xml":
                head, _, rest = content.partition(b"?>")
                content = head + b"?><!DOCTYPE d [" + entities.encode() + b"]>" + rest.replace(b"text", b"&a9;", 1)
            new.writestr(name, content)
    return written.getvalue()


@pytest.mark.parametrize(
    ("ending", "data", "said"),
    [
        ("pdf", b"no PDF", "it is no PDF, or damaged"),
        ("pdf", b"", "it is no PDF, or damaged"),
        ("pdf", pdf_of("text")[:200], "it is no PDF, or damaged"),
        ("pdf", pdf_of(""), "it has no text: if it is a scan"),
        ("docx", b"no archive", "it is no Word document"),
        ("docx", b"\xd0\xcf\x11\xe0 encrypted", "it is encrypted, or of the old format"),
        ("docx", bomb(), "it unpacks to more than 200,000,000 bytes"),
        ("html", b"<p>" + b"x" * (LIMIT + 1), "its text is longer than 1,000,000 characters"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(ending: str, data: bytes, said: str) -> None:
    assert said in answer(ending, data, LIMIT)["reason"]


def test_an_archive_that_holds_no_document_says_so() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a.txt", "x")
    assert answer("docx", written.getvalue(), LIMIT)["reason"] == "it is no Word document (docx), or damaged"


def test_an_encrypted_pdf_says_so() -> None:
    assert answer("pdf", ENCRYPTED, LIMIT)["reason"] == "it is encrypted: save it without a password"


def test_entities_of_entities_are_not_unfolded() -> None:
    assert "haha" not in str(answer("docx", laughs(), LIMIT))


CHILD = """
import json, sys
while line := sys.stdin.buffer.readline():
    request = json.loads(line)
    data = sys.stdin.buffer.read(request["byte_count"])
    if data == b"hang":
        import time; time.sleep(600)
    if data == b"crash":
        import os; os.abort()
    if data == b"flood":
        sys.stdout.write("x" * 20_000_000)
    if data == b"eat":
        sys.path.insert(0, FOLDER)
        import document_child
        document_child.limit_resources()
        document_child.READERS["pdf"] = ("pypdfium2", lambda *_: "x" * (2 << 30))
        print(json.dumps(document_child.answer("pdf", data, 1)), flush=True)
        continue
    print(json.dumps({"text": data.decode(), "tool": "t", "version": "1"}), flush=True)
"""


@pytest.fixture
def own_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that does what the document says."""
    folder = str(Path(str(document_child.__file__)).parent)
    (tmp_path / "child.py").write_text(CHILD.replace("FOLDER", repr(folder)))
    monkeypatch.setattr("derive.sources.document_reader.document_child.__file__", str(tmp_path / "child.py"))


@pytest.mark.usefixtures("own_child")
@pytest.mark.parametrize("fault", [b"crash", b"flood"])
def test_a_document_that_makes_its_reader_fail_is_refused_and_the_next_one_is_read(
    reader: DocumentReader, fault: bytes
) -> None:
    with pytest.raises(SourceError, match="it made its reader fail"):
        reader.read("pdf", fault)
    assert reader.read("pdf", b"good").text == "good"


@pytest.mark.usefixtures("own_child")
def test_a_document_that_takes_too_long_is_given_up_and_the_next_one_is_read() -> None:
    with DocumentReader(seconds=0.2) as hasty:
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"it took longer than 0\.2 s to read"):
            hasty.read("pdf", b"hang")
        assert time.monotonic() - began < 60
    with DocumentReader() as patient:
        assert patient.read("pdf", b"good").text == "good"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.usefixtures("own_child")
def test_a_document_that_takes_too_much_memory_is_refused(reader: DocumentReader) -> None:
    with pytest.raises(SourceError, match="it takes more than 1024 MiB of memory"):
        reader.read("pdf", b"eat")


def test_the_child_has_none_of_the_environment(reader: DocumentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "canary")
    reader.read("html", b"<p>one")
    assert reader._child is not None
    environment = Path(f"/proc/{reader._child.pid}/environ")
    if not environment.exists():
        pytest.skip("no /proc")
    assert environment.read_bytes() == b""


def test_a_package_that_is_not_installed_is_named(reader: DocumentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derive.sources.document_reader.tool_of", lambda _: None)
    with pytest.raises(SourceError, match=r"\.pdf need the package pypdfium2: pip install 'holocron\[documents\]'"):
        reader.read("pdf", b"")
