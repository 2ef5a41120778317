"""The evidence of a long job, whole, and of each of its parts."""

import hashlib
from collections.abc import Sequence

from derive.contracts import Bounds
from derive.evidence.bundle import delimiter_of, hash_items
from derive.evidence.contracts import EvidenceBundle, EvidenceItem
from derive.windows.window import Window

WHOLE = Bounds(max_items=1_000, max_item_bytes=16 * 1024 * 1024, max_total_bytes=64 * 1024 * 1024)
"""Bounds of the evidence of a job that is split; each part keeps those of its interrogation."""

_LOST = frozenset({"item_too_long", "bundle_full", "too_many_items"})


def is_long(bundle: EvidenceBundle) -> bool:
    """Whether some of the evidence was left out of the bundle because it is too long."""
    return any(cut.why in _LOST for cut in bundle.cuts)


def evidence_of_part(
    whole: EvidenceBundle, part: Sequence[Window], *, bounds: Bounds, delimiter_key: bytes
) -> EvidenceBundle:
    """Return the bundle that one part is asked about: an item for each of its windows, with the items' own ids.

    Raises KeyError for a window of an item that ``whole`` does not have.
    """
    by_id = {item.evidence_id: item for item in whole.items}
    items = tuple(_item(by_id[window.evidence_id], window) for window in part)
    sha256 = hash_items(items)
    return EvidenceBundle(
        items=items,
        bounds=bounds,
        delimiter=delimiter_of(items, sha256=sha256, key=delimiter_key),
        sha256=sha256,
        windows=tuple(part),
    )


def _item(item: EvidenceItem, window: Window) -> EvidenceItem:
    text = window.text_in(item.text)
    return EvidenceItem(
        evidence_id=item.evidence_id,
        source_uri=item.source_uri,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
