"""Evidence typed or uploaded in a form: texts with ids, bounded; an uploaded file becomes a text that can be seen."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, QueryDict

from derive.evidence.references import MAX_TEXT_CHARACTERS

MAX_ITEMS = 200
MAX_FILE_BYTES = MAX_TEXT_CHARACTERS
MAX_TOTAL_CHARACTERS = 2_000_000
"""The form comes back with all of it: within what a request may hold (DATA_UPLOAD_MAX_MEMORY_SIZE)."""


@dataclass(frozen=True)
class TypedEvidence:
    """One piece as it stands in the form."""

    evidence_id: str = ""
    source_uri: str = ""
    text: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed."""
        return not (self.evidence_id or self.source_uri or self.text.strip())


def read_evidence(request: HttpRequest) -> tuple[list[TypedEvidence], list[str]]:
    """Return the pieces that were typed and uploaded, and what is wrong with an upload."""
    pieces = [one for one in _typed(request.POST) if not one.is_empty]
    uploaded, problems = _uploaded(request)
    pieces = (pieces + uploaded)[: MAX_ITEMS + 1]
    if len(pieces) > MAX_ITEMS:
        problems.append(f"evidence: at most {MAX_ITEMS} pieces")
    if sum(len(one.text) for one in pieces) > MAX_TOTAL_CHARACTERS:
        problems.append(
            f"evidence: more than {MAX_TOTAL_CHARACTERS:,} characters in all; put it into the lake and give its "
            "lake_uri below"
        )
        pieces = [one for one in pieces if one not in uploaded]
    return pieces, problems


def as_members(pieces: list[TypedEvidence]) -> list[dict[str, Any]]:
    """Return the pieces as the envelope carries them; a piece without an id is called after its place."""
    return [
        {
            "evidence_id": one.evidence_id.strip() or f"evidence-{place}",
            **({"source_uri": one.source_uri.strip()} if one.source_uri.strip() else {}),
            "text": one.text,
        }
        for place, one in enumerate(pieces, start=1)
    ]


def _typed(form: QueryDict) -> list[TypedEvidence]:
    columns = [form.getlist(name)[: MAX_ITEMS + 1] for name in ("evidence_id", "source_uri", "text")]
    # Browsers write line ends of their own; a form cut short has columns of unlike length.
    return [TypedEvidence(one, uri, text.replace("\r\n", "\n")) for one, uri, text in zip(*columns, strict=False)]


def _uploaded(request: HttpRequest) -> tuple[list[TypedEvidence], list[str]]:
    pieces, problems = [], []
    for place, file in enumerate(request.FILES.getlist("evidence_file")[:MAX_ITEMS], start=1):
        name = "".join(sign for sign in (file.name or "") if sign.isprintable())[:120] or "a file"
        content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            problems.append(f"{name}: is larger than {MAX_FILE_BYTES:,} bytes; split it")
            continue
        try:
            text = content.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            problems.append(f"{name}: is not UTF-8 text (byte {error.start + 1})")
            continue
        if "\x00" in text:
            problems.append(f"{name}: is no text: it holds the character U+0000")
            continue
        pieces.append(TypedEvidence(f"file-{place}", f"file:{name}", text))
    return pieces, problems
