"""Evidence typed or uploaded in a form: a formset of bounded texts, to which uploaded files are added."""

from typing import Any

from django import forms
from django.forms import BaseFormSet, formset_factory
from django.http import HttpRequest, QueryDict
from typing_extensions import override

from derive.evidence.references import MAX_TEXT_CHARACTERS

MAX_ITEMS = 200
MAX_FILE_BYTES = MAX_TEXT_CHARACTERS
MAX_TOTAL_CHARACTERS = 2_000_000
"""The whole form is sent back on errors, so this must fit DATA_UPLOAD_MAX_MEMORY_SIZE."""

Piece = dict[str, str]
"""The values of one ``EvidenceForm``."""


class EvidenceForm(forms.Form):
    """One piece of evidence. Nothing is required; the job's own check validates it."""

    evidence_id = forms.CharField(required=False, widget=forms.TextInput(attrs={"maxlength": 200}))
    source_uri = forms.CharField(required=False, widget=forms.TextInput(attrs={"maxlength": 2_000}))
    text = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 5, "dir": "ltr"}))

    def piece(self) -> Piece:
        """Return the input with plain line feeds: browsers send CRLF."""
        return {name: str(self[name].value() or "").replace("\r\n", "\n") for name in self.fields}


class _EvidenceForms(BaseFormSet):  # type: ignore[type-arg]  # Django's own is not generic when it runs
    @override
    def add_fields(self, form: EvidenceForm, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields["evidence_id"].widget.attrs["placeholder"] = f"evidence-{(index or 0) + 1}"


def evidence_forms(data: Any = None, *, pieces: list[Piece] | None = None, extra: int = 0) -> _EvidenceForms:
    """Return the submitted forms, or forms for the given pieces with ``extra`` empty ones."""
    forms_of: Any = formset_factory(
        EvidenceForm, formset=_EvidenceForms, extra=extra, max_num=MAX_ITEMS, absolute_max=MAX_ITEMS + 1
    )
    made: _EvidenceForms = forms_of(data, initial=pieces, prefix="evidence", auto_id=False)
    return made


def read_evidence(request: HttpRequest, data: QueryDict) -> tuple[list[Piece], list[str]]:
    """Return the pieces of a form's data and those uploaded, and the problems of the uploads."""
    typed = [form.piece() for form in evidence_forms(data)]
    pieces = [one for one in typed if any(value.strip() for value in one.values())]
    uploaded, problems = _uploaded(request)
    pieces = (pieces + uploaded)[: MAX_ITEMS + 1]
    if len(pieces) > MAX_ITEMS:
        problems.append(f"evidence: no more than {MAX_ITEMS} pieces")
    if sum(len(one["text"]) for one in pieces) > MAX_TOTAL_CHARACTERS:
        problems.append(
            f"evidence: more than {MAX_TOTAL_CHARACTERS:,} characters in all; put it into the lake and give its "
            "lake_uri below"
        )
        pieces = [one for one in pieces if one not in uploaded]
    return pieces, problems


def as_members(pieces: list[Piece]) -> list[dict[str, Any]]:
    """Return the pieces as envelope members; pieces without an id are numbered."""
    return [
        {
            "evidence_id": one["evidence_id"].strip() or f"evidence-{place}",
            **({"source_uri": one["source_uri"].strip()} if one["source_uri"].strip() else {}),
            "text": one["text"],
        }
        for place, one in enumerate(pieces, start=1)
    ]


def _uploaded(request: HttpRequest) -> tuple[list[Piece], list[str]]:
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
            problems.append(f"{name}: is not text: it contains the character U+0000")
            continue
        pieces.append({"evidence_id": f"file-{place}", "source_uri": f"file:{name}", "text": text})
    return pieces, problems
