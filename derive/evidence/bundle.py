"""The evidence bundle: what a model sees, bounded, redacted and hashed.

Sources are sorted by id, duplicates are merged, control characters are replaced, and the text is redacted, cut and
hashed, in that order. Redaction runs before the cut so that a secret cut in half cannot slip through, and before the
hash so that no hash depends on a secret.

The text is otherwise kept exactly as received (line endings, composed and decomposed characters, typographic marks),
because quotes are compared with it character by character. Control characters other than tab, line feed and carriage
return are each replaced by a space: they mean nothing to a reader but may mean something to a terminal. U+0000 is
rejected earlier.
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
from derive.evidence.contracts import EvidenceBundle, EvidenceCut, EvidenceExtraction, EvidenceItem, EvidenceRedaction
from derive.evidence.redaction import Redactor
from derive.evidence.sources import SourceText

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_HASHED = tuple(sorted(EvidenceItem.model_fields))
_DELIMITER_DIGITS = 16
"""64 bits in hexadecimal: enough that no author of evidence can guess them, and cheap in tokens."""

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
    """Build the bundle from the sources; the same sources in any order give the same items, hash and delimiter.

    Items are ordered by id (by code point), and the size limits are applied in that order. Identical items with the
    same id are merged and recorded as a cut. Raises InvalidInput for different texts with the same id, and
    EvidenceMissing when nothing but white space remains.
    """
    items: list[EvidenceItem] = []
    cuts: list[EvidenceCut] = []
    redactions: list[EvidenceRedaction] = []
    extractions: list[EvidenceExtraction] = []
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
            if source.extraction is not None:
                extractions.append(EvidenceExtraction(evidence_id=source.evidence_id, **source.extraction.model_dump()))
            used_bytes += _size(shown.item.text)
    if not items:
        raise EvidenceMissing(NO_EVIDENCE)
    sha256 = hash_items(items)
    return EvidenceBundle(
        items=tuple(items),
        bounds=bounds,
        cuts=tuple(cuts),
        redactions=tuple(redactions),
        extractions=tuple(extractions),
        delimiter=delimiter_of(items, sha256=sha256, key=delimiter_key),
        sha256=sha256,
    )


def hash_items(items: Iterable[EvidenceItem]) -> str:
    """Return the SHA-256 of the items alone, as RFC 8785 canonical JSON."""
    # For strings, nulls and these names in this order, this is the RFC 8785 form (a test compares them), but faster.
    return hashlib.sha256(to_json([{name: getattr(item, name) for name in _HASHED} for item in items])).hexdigest()


def delimiter_of(items: Iterable[EvidenceItem], *, sha256: str, key: bytes) -> str:
    """Return hexadecimal digits that occur in no item: the items' hash, hashed with a secret key.

    Equal items give equal digits, so a server's prompt cache recognises a repeated document. Without the key, an
    author of evidence cannot predict them.
    """
    texts = [text for item in items for text in (item.evidence_id, item.text)]
    tried = (hmac.new(key, f"{sha256}/{attempt}".encode(), "sha256").hexdigest() for attempt in count_up())
    delimiters = (digest[:_DELIMITER_DIGITS] for digest in tried)
    return next(delimiter for delimiter in delimiters if not any(delimiter in text for text in texts))


def bundle_faults(bundle: EvidenceBundle) -> tuple[str, ...]:
    """Rehash every item of a stored bundle, check the bundle's own totals, and return every fault found.

    Load the bundle with ``EvidenceBundle.model_validate_json`` from ``evidence.json``.
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
    places = [(window.evidence_id, window.end - window.start) for window in bundle.windows]
    if places and places != [(item.evidence_id, len(item.text)) for item in bundle.items]:
        faults.append("the windows are not those of the items")
    return tuple(faults)


def _without_duplicates(sources: Iterable[SourceText], cuts: list[EvidenceCut]) -> Iterator[SourceText]:
    """Yield one source per id, in order of id; record the dropped copies in ``cuts``."""
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
    """Clean, redact, cut and hash one source so that it fits the space left in the bundle."""
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
    """Return the longest prefix of at most ``max_bytes`` of UTF-8 that does not split a character."""
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
