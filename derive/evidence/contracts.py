"""The evidence bundle a run may use, and the record of what was left out of it."""

from typing import Literal

from derive.contracts import Bounds
from derive.strict_types import Frozen, Sha256
from derive.windows.window import Window


class EvidenceItem(Frozen):
    """One piece of evidence as the model sees it: bounded, redacted, hashed (SHA-256 of the UTF-8 text)."""

    evidence_id: str
    source_uri: str | None
    text: str
    sha256: Sha256


class EvidenceCut(Frozen):
    """Text that was left out of the bundle, and why."""

    evidence_id: str
    why: Literal["item_too_long", "bundle_full", "too_many_items", "duplicate", "empty"]
    kept_bytes: int
    dropped_bytes: int


class EvidenceRedaction(Frozen):
    """The number of times a pattern was replaced in an item; never the replaced text."""

    evidence_id: str
    pattern: str
    count: int


class EvidenceExtraction(Frozen):
    """The tool that took an item's text out of its original, and the original's SHA-256."""

    evidence_id: str
    tool: str
    version: str
    original_sha256: Sha256


class EvidenceBundle(Frozen):
    """What the model sees. ``sha256`` covers only the items, so equal evidence has an equal hash.

    In a part of a long job the items are windows of longer texts: ``windows`` then has one for each item.
    """

    items: tuple[EvidenceItem, ...]
    bounds: Bounds
    cuts: tuple[EvidenceCut, ...] = ()
    redactions: tuple[EvidenceRedaction, ...] = ()
    extractions: tuple[EvidenceExtraction, ...] = ()
    delimiter: str
    sha256: Sha256
    windows: tuple[Window, ...] = ()
