"""The evidence bundle: what a model sees, bounded, redacted and hashed.

Order of work: sorted by id, duplicates merged, control characters replaced, redacted, cut, hashed. Redaction comes
before the cut, so that no half-cut secret escapes it, and before the hash, so that no hash depends on a secret.

The text is otherwise kept exactly as it came (line ends, composed and decomposed characters, typographic marks):
a quote is held against it character by character. Only control characters other than tab, line feed and carriage
return become a space each: they mean nothing to a reader and something to a terminal. U+0000 was refused before.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count as count_up
from typing import Literal

from pydantic_core import to_json

from derive.contracts import Bounds
from derive.errors import EvidenceMissing, InvalidInput
from derive.evidence.contracts import EvidenceBundle, EvidenceCut, EvidenceItem, EvidenceRedaction
from derive.evidence.redaction import Redactor
from derive.evidence.sources import SourceText

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_HASHED = tuple(sorted(EvidenceItem.model_fields))
_DELIMITER_DIGITS = 16
"""64 bits in hexadecimal: no author of evidence can guess them, and they cost few tokens."""

NO_EVIDENCE = (
    "there is no evidence to ask about: give text in extra_params.evidence or in evidence_ref_json "
    "(text, lake_uri or run_id; a URL or a document id alone is never fetched)"
)


@dataclass(frozen=True)
class _Shown:
    item: EvidenceItem | None
    cut: EvidenceCut | None
    redactions: tuple[EvidenceRedaction, ...]


def build_bundle(
    sources: Iterable[SourceText], *, bounds: Bounds, redactor: Redactor, delimiter_key: bytes
) -> EvidenceBundle:
    """Build the bundle of these sources; the same sources in any order give the same items, hash and delimiter.

    Items are ordered by id (by code point), and the bounds are spent in that order. Equal items under
    one id are merged and recorded as a cut. Raises InvalidInput for different texts under one id, EvidenceMissing
    when nothing but white space remains.
    """
    items: list[EvidenceItem] = []
    cuts: list[EvidenceCut] = []
    redactions: list[EvidenceRedaction] = []
    used_bytes = 0
    for source in _without_duplicates(sources, cuts):
        room = bounds.max_total_bytes - used_bytes
        if len(items) >= bounds.max_items or room <= 0:
            why: Literal["too_many_items", "bundle_full"]
            why = "too_many_items" if len(items) >= bounds.max_items else "bundle_full"
            cuts.append(_cut(source.evidence_id, why=why, kept=0, dropped=_size(source.text)))
            continue
        shown = _show(source, room=room, bounds=bounds, redactor=redactor)
        redactions.extend(shown.redactions)
        if shown.cut is not None:
            cuts.append(shown.cut)
        if shown.item is not None:
            items.append(shown.item)
            used_bytes += _size(shown.item.text)
    if not items:
        raise EvidenceMissing(NO_EVIDENCE)
    sha256 = hash_items(items)
    return EvidenceBundle(
        items=tuple(items),
        bounds=bounds,
        cuts=tuple(cuts),
        redactions=tuple(redactions),
        delimiter=delimiter_of(items, sha256=sha256, key=delimiter_key),
        sha256=sha256,
    )


def hash_items(items: Iterable[EvidenceItem]) -> str:
    """Return the SHA-256 of the items alone, as RFC 8785 canonical JSON."""
    # Of texts, nulls and names in this order, this writes what RFC 8785 wants (a test holds them together), and fast.
    return hashlib.sha256(to_json([{name: getattr(item, name) for name in _HASHED} for item in items])).hexdigest()


def delimiter_of(items: Iterable[EvidenceItem], *, sha256: str, key: bytes) -> str:
    """Return hexadecimal digits that occur in no item: a hash of the items' hash under a secret key.

    Equal items give equal digits, so a server's prompt cache knows a document again; without the key, nobody who
    writes evidence can tell them beforehand.
    """
    texts = [text for item in items for text in (item.evidence_id, item.text)]
    tried = (hmac.new(key, f"{sha256}/{attempt}".encode(), "sha256").hexdigest() for attempt in count_up())
    delimiters = (digest[:_DELIMITER_DIGITS] for digest in tried)
    return next(delimiter for delimiter in delimiters if not any(delimiter in text for text in texts))


def bundle_faults(bundle: EvidenceBundle) -> tuple[str, ...]:
    """Rehash every item and check the bundle against itself; return each fault.

    For a bundle that was stored (``EvidenceBundle.model_validate_json`` of ``evidence.json``).
    """
    faults = [
        f"item {item.evidence_id!r}: its text does not have the SHA-256 recorded for it"
        for item in bundle.items
        if _sha256(item.text) != item.sha256
    ]
    if hash_items(bundle.items) != bundle.sha256:
        faults.append("the items do not have the SHA-256 recorded for the bundle")
    if not bundle.delimiter or any(bundle.delimiter in item.text for item in bundle.items):
        faults.append("the delimiter is empty, or stands inside an item")
    if len({item.evidence_id for item in bundle.items}) != len(bundle.items):
        faults.append("two items have one id")
    sizes = [_size(item.text) for item in bundle.items]
    bounds = bundle.bounds
    if (
        len(sizes) > bounds.max_items
        or max(sizes, default=0) > bounds.max_item_bytes
        or sum(sizes) > bounds.max_total_bytes
    ):
        faults.append("the items pass the bounds recorded with them")
    return tuple(faults)


def _without_duplicates(sources: Iterable[SourceText], cuts: list[EvidenceCut]) -> Iterator[SourceText]:
    """Yield the sources by id, one each; the copies left out are added to ``cuts``."""
    previous: SourceText | None = None
    for source in sorted(sources, key=lambda source: (source.evidence_id, source.source_uri or "", source.text)):
        if previous is None or source.evidence_id != previous.evidence_id:
            previous = source
            yield source
        elif source.text == previous.text:
            cuts.append(_cut(source.evidence_id, why="duplicate", kept=0, dropped=_size(source.text)))
        else:
            raise InvalidInput(f"two pieces of evidence are called {source.evidence_id!r}: give each an id of its own")


def _show(source: SourceText, *, room: int, bounds: Bounds, redactor: Redactor) -> _Shown:
    """Clean, redact, cut and hash one source for the room that is left in the bundle."""
    name = source.evidence_id
    cleaned, controls = _CONTROL.subn(" ", source.text)
    redacted = redactor.redact(cleaned)
    counts = dict(redacted.counts)
    if controls:
        counts["control_character"] = controls
    source_uri = None if source.source_uri is None else redactor.redact(source.source_uri)
    for pattern, count in source_uri.counts.items() if source_uri else ():
        counts[pattern] = counts.get(pattern, 0) + count
    redactions = tuple(
        EvidenceRedaction(evidence_id=name, pattern=pattern, count=count) for pattern, count in sorted(counts.items())
    )
    whole_bytes = _size(redacted.text)
    kept = cut_to_bytes(redacted.text, min(bounds.max_item_bytes, room))
    if not kept.strip():
        why: Literal["bundle_full", "empty"] = "bundle_full" if redacted.text.strip() else "empty"
        return _Shown(item=None, cut=_cut(name, why=why, kept=0, dropped=whole_bytes), redactions=())
    cut = None
    if len(kept) < len(redacted.text):
        too_long = bounds.max_item_bytes <= room
        kept_bytes = _size(kept)
        cut = _cut(
            name,
            why="item_too_long" if too_long else "bundle_full",
            kept=kept_bytes,
            dropped=whole_bytes - kept_bytes,
        )
    item = EvidenceItem(
        evidence_id=name,
        source_uri=source_uri.text if source_uri else None,
        text=kept,
        sha256=_sha256(kept),
    )
    return _Shown(item=item, cut=cut, redactions=redactions)


def cut_to_bytes(text: str, max_bytes: int) -> str:
    """Return the longest beginning of the text that is at most ``max_bytes`` of UTF-8, never half a character."""
    encoded = text.encode()
    return text if len(encoded) <= max_bytes else encoded[:max_bytes].decode(errors="ignore")


def _cut(
    evidence_id: str,
    *,
    why: Literal["item_too_long", "bundle_full", "too_many_items", "duplicate", "empty"],
    kept: int,
    dropped: int,
) -> EvidenceCut:
    return EvidenceCut(evidence_id=evidence_id, why=why, kept_bytes=kept, dropped_bytes=dropped)


def _size(text: str) -> int:
    return len(text.encode())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
