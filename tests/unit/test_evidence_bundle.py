"""Bounds, order, hashes and cuts of evidence bundles."""

import hashlib
import json
import random
import unicodedata

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from derive.contracts import Bounds
from derive.errors import EvidenceMissing, InvalidInput
from derive.evidence.bundle import build_bundle, bundle_faults, cut_to_bytes, delimiter_of, hash_items
from derive.evidence.contracts import EvidenceBundle, EvidenceItem
from derive.evidence.redaction import Redactor
from derive.evidence.references import Extraction
from derive.evidence.sources import SourceText
from tests.unit.evidence_samples import PLAIN, bundle_of, source

STORABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
TEXTS = st.text(STORABLE, max_size=60)
STORED_TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\x00\x1f\x7f"\\/\u2028'))
"""Also what a bundle made elsewhere may hold."""
SOURCES = st.dictionaries(st.text("abc12é", min_size=1, max_size=3), TEXTS, min_size=1, max_size=8).map(
    lambda texts: [source(name, text) for name, text in texts.items()]
)
BOUNDS = st.builds(
    Bounds,
    max_items=st.integers(1, 5),
    max_item_bytes=st.integers(1, 50),
    max_total_bytes=st.integers(1, 120),
)


def build(sources: list[SourceText], **bounds: int) -> EvidenceBundle:
    return build_bundle(sources, bounds=Bounds(**bounds), redactor=Redactor(), delimiter_key=b"key")


@given(SOURCES, BOUNDS, st.randoms(use_true_random=False))
@example([source("1", "\b")], Bounds(max_items=1, max_item_bytes=1, max_total_bytes=1), random.Random(0))
def test_a_bundle_keeps_its_bounds_and_accounts_for_every_byte(
    sources: list[SourceText], bounds: Bounds, rng: random.Random
) -> None:
    try:
        bundle = build_bundle(sources, bounds=bounds, redactor=PLAIN, delimiter_key=b"key")
    except EvidenceMissing:
        for one in sources:
            # A control character becomes a blank, of which evidence cannot consist.
            seen = "".join(" " if unicodedata.category(c) == "Cc" else c for c in one.text)
            assert not cut_to_bytes(seen, bounds.max_item_bytes).strip() or len(one.text.encode()) > 1
        return
    assert bundle_faults(bundle) == ()
    cuts = {cut.evidence_id: cut for cut in bundle.cuts}
    kept = {item.evidence_id: item for item in bundle.items}
    for one in sources:
        cut = cuts.get(one.evidence_id)
        kept_bytes = len(kept[one.evidence_id].text.encode()) if one.evidence_id in kept else 0
        # A control character of two bytes (U+0080 to U+009F) becomes a space of one.
        size = len(one.text.encode()) - sum("\x80" <= c <= "\x9f" for c in one.text)
        if cut is None:
            assert kept_bytes == size
        else:
            assert cut.kept_bytes == kept_bytes
            assert cut.kept_bytes + cut.dropped_bytes in {size, len(one.text.encode())}
    rng.shuffle(sources)
    again = build_bundle(sources, bounds=bounds, redactor=PLAIN, delimiter_key=b"key")
    assert again.items == bundle.items
    assert again.sha256 == bundle.sha256


@given(SOURCES, BOUNDS)
def test_a_stored_bundle_is_read_back_exactly(sources: list[SourceText], bounds: Bounds) -> None:
    try:
        bundle = build_bundle(sources, bounds=bounds, redactor=PLAIN, delimiter_key=b"key")
    except EvidenceMissing:
        return
    stored = bundle.model_dump_json()
    read = EvidenceBundle.model_validate_json(stored)
    assert read == bundle
    assert read.model_dump_json() == stored


@given(TEXTS, st.integers(0, 40))
def test_a_cut_never_splits_a_character_and_wastes_no_byte(text: str, max_bytes: int) -> None:
    kept = cut_to_bytes(text, max_bytes)
    assert text.startswith(kept)
    assert len(kept.encode()) <= max_bytes
    if kept != text:
        assert len(text[: len(kept) + 1].encode()) > max_bytes


@given(STORED_TEXTS, STORED_TEXTS, st.none() | STORED_TEXTS)
def test_the_hash_is_of_the_items_as_canonical_json(name: str, text: str, uri: str | None) -> None:
    item = EvidenceItem(evidence_id=name, source_uri=uri, text=text, sha256="ab" * 32)
    assert hash_items([item, item]) == hashlib.sha256(rfc8785.dumps([item.model_dump()] * 2)).hexdigest()


def test_the_hash_covers_only_the_items() -> None:
    one, two = bundle_of(a="Luke", b="Leia"), bundle_of(b="Leia", a="Luke")
    assert one.sha256 == two.sha256
    plain = [
        {"evidence_id": name, "source_uri": None, "text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for name, text in [("a", "Luke"), ("b", "Leia")]
    ]
    assert one.sha256 == hashlib.sha256(rfc8785.dumps(plain)).hexdigest()
    assert one.sha256 != bundle_of(a="Luke", b="Leia.").sha256


def an_item(text: str, *, name: str = "a") -> EvidenceItem:
    return EvidenceItem(evidence_id=name, source_uri=None, text=text, sha256="ab" * 32)


@pytest.mark.parametrize("hostile", [{"text": "THX {}"}, {"text": "Luke", "name": "{}-7"}], ids=["text", "id"])
def test_a_delimiter_that_occurs_in_the_evidence_is_not_used(hostile: dict[str, str]) -> None:
    known = delimiter_of([an_item("Luke")], sha256="5a", key=b"key")
    item = an_item(**{name: value.format(known) for name, value in hostile.items()})
    other = delimiter_of([item], sha256="5a", key=b"key")
    assert other != known
    assert other not in item.text + item.evidence_id


def test_the_delimiter_depends_only_on_document_and_key() -> None:
    """The same, so that a model server's prompt cache knows the document again."""
    items = [source("a", "Luke"), source("b", "Leia")]
    one, again = build(items), build(items[::-1])
    assert one.delimiter == again.delimiter
    assert one.delimiter != build([source("a", "Luke"), source("b", "Leia.")]).delimiter
    other_key = build_bundle(items, bounds=Bounds(), redactor=PLAIN, delimiter_key=b"another")
    assert one.delimiter != other_key.delimiter


def test_items_are_ordered_by_id_and_the_first_get_the_space() -> None:
    bundle = build([source("c", "3" * 10), source("a", "1" * 10), source("b", "2" * 10)], max_total_bytes=15)
    assert [(item.evidence_id, len(item.text)) for item in bundle.items] == [("a", 10), ("b", 5)]
    assert [(cut.evidence_id, cut.why, cut.kept_bytes, cut.dropped_bytes) for cut in bundle.cuts] == [
        ("b", "bundle_full", 5, 5),
        ("c", "bundle_full", 0, 10),
    ]


def test_too_many_and_too_long_items_are_cut_and_recorded() -> None:
    bundle = build([source("a", "éé"), source("b", "x"), source("c", "y")], max_items=2, max_item_bytes=3)
    assert [item.text for item in bundle.items] == ["é", "x"]
    assert [(cut.evidence_id, cut.why, cut.kept_bytes, cut.dropped_bytes) for cut in bundle.cuts] == [
        ("a", "item_too_long", 2, 2),
        ("c", "too_many_items", 0, 1),
    ]


def test_the_same_item_twice_is_merged_and_recorded() -> None:
    bundle = build([source("a", "Luke"), source("a", "Luke")])
    assert len(bundle.items) == 1
    assert [(cut.why, cut.kept_bytes, cut.dropped_bytes) for cut in bundle.cuts] == [("duplicate", 0, 4)]


def test_different_texts_under_one_id_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two pieces of evidence are called 'a'"):
        build([source("a", "Luke"), source("a", "Leia")])


@pytest.mark.parametrize("texts", [[], [""], [" \n\t\u2003"], ["", "\x01\x02"]])
def test_blank_evidence_counts_as_missing(texts: list[str]) -> None:
    with pytest.raises(EvidenceMissing, match="no evidence"):
        build([source(f"e{n}", text) for n, text in enumerate(texts)])


def test_a_blank_item_is_left_out_and_recorded() -> None:
    bundle = build([source("a", "  \n"), source("b", "Luke")])
    assert [item.evidence_id for item in bundle.items] == ["b"]
    assert [(cut.evidence_id, cut.why) for cut in bundle.cuts] == [("a", "empty")]


def test_secrets_are_redacted_before_the_text_is_cut_or_hashed() -> None:
    secret = "ghp_" + "a1B2" * 9
    bundle = build([source("a", f"see {secret}")], max_item_bytes=20)
    assert bundle.items[0].text == "see [redacted:github"
    assert bundle.items[0].sha256 == hashlib.sha256(b"see [redacted:github").hexdigest()
    assert [(found.pattern, found.count) for found in bundle.redactions] == [("github_token", 1)]


def test_a_password_in_the_source_is_redacted_too() -> None:
    bundle = build([source("a", "Luke", "https://leia:organa@db.example/x")])
    assert bundle.items[0].source_uri == "https://leia:[redacted:url_password]@db.example/x"
    assert [(found.pattern, found.count) for found in bundle.redactions] == [("url_password", 1)]


def test_text_stays_exact_but_for_control_characters() -> None:
    text = "e\u0301 – “Luke”\r\n\tיוון 🏴\u200d☠️\x1b[31m\x07 end\x85"
    item = build([source("a", text)]).items[0]
    assert item.text == "e\u0301 – “Luke”\r\n\tיוון 🏴\u200d☠️ [31m  end "
    assert build([source("a", text)]).redactions[0].pattern == "control_character"


def test_a_changed_file_is_found_out() -> None:
    stored = json.loads(bundle_of(a="Luke", b="Leia").model_dump_json())
    stored["items"][0]["text"] = "Vader"
    faults = bundle_faults(EvidenceBundle.model_validate(stored))
    assert any("item 'a'" in fault for fault in faults)
    assert any("SHA-256 recorded for the bundle" in fault for fault in faults)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"delimiter": "Luke"}, "delimiter"),
        ({"delimiter": ""}, "delimiter"),
        ({"bounds": {"max_items": 1, "max_item_bytes": 9, "max_total_bytes": 9}}, "bounds"),
    ],
)
def test_a_bundle_that_contradicts_itself_is_found_out(change: dict[str, object], fault: str) -> None:
    stored = json.loads(bundle_of(a="Luke", b="Leia").model_dump_json())
    assert any(fault in found for found in bundle_faults(EvidenceBundle.model_validate(stored | change)))


def test_two_items_of_one_id_are_found_out() -> None:
    stored = json.loads(bundle_of(a="Luke", b="Leia").model_dump_json())
    stored["items"][1]["evidence_id"] = "a"
    assert "two items have one id" in bundle_faults(EvidenceBundle.model_validate(stored))


@pytest.mark.parametrize(
    ("bounds", "passes"),
    [
        ({"max_items": 2, "max_item_bytes": 4, "max_total_bytes": 6}, True),
        ({"max_items": 1, "max_item_bytes": 4, "max_total_bytes": 6}, False),
        ({"max_items": 2, "max_item_bytes": 3, "max_total_bytes": 6}, False),
        ({"max_items": 2, "max_item_bytes": 4, "max_total_bytes": 5}, False),
    ],
)
def test_each_bound_of_a_stored_bundle_holds(bounds: dict[str, int], passes: bool) -> None:
    stored = json.loads(bundle_of(a="Luke", b="Le").model_dump_json())
    faults = bundle_faults(EvidenceBundle.model_validate(stored | {"bounds": bounds}))
    assert faults == (() if passes else ("the items pass the bounds recorded with them",))


def test_a_delimiter_is_64_bits() -> None:
    assert len(bytes.fromhex(bundle_of(a="Luke").delimiter)) == 8


def test_of_equal_items_the_one_without_a_source_comes_first() -> None:
    bundle = build([source("a", "Luke", "https://x.example"), source("a", "Luke")])
    assert [item.source_uri for item in bundle.items] == [None]


def test_a_pattern_found_in_the_text_and_its_source_is_counted_in_both() -> None:
    url = "https://leia:organa@db.example/x"
    bundle = build([source("a", f"see {url} and {url}", url)])
    assert [(found.pattern, found.count) for found in bundle.redactions] == [("url_password", 3)]


def test_an_item_too_long_by_itself_is_reported_as_such_also_where_the_room_is_no_larger() -> None:
    bundle = build([source("a", "x" * 10)], max_item_bytes=5, max_total_bytes=5)
    assert [(cut.why, cut.kept_bytes, cut.dropped_bytes) for cut in bundle.cuts] == [("item_too_long", 5, 5)]


def test_the_last_byte_of_room_is_used_and_then_nothing_is_looked_at() -> None:
    bundle = build([source("a", "x" * 10), source("b", "yz"), source("c", " ")], max_total_bytes=11)
    assert [item.text for item in bundle.items] == ["x" * 10, "y"]
    assert [(cut.evidence_id, cut.why) for cut in bundle.cuts] == [("b", "bundle_full"), ("c", "bundle_full")]


def test_how_an_items_text_was_extracted_is_recorded_beside_the_items_and_does_not_change_their_hash() -> None:
    extraction = Extraction(tool="pypdfium2", version="5.0", original_sha256="0" * 64)
    plain = SourceText(evidence_id="a", source_uri=None, text="text")
    extracted = plain.model_copy(update={"extraction": extraction})
    empty = SourceText(evidence_id="b", source_uri=None, text=" ", extraction=extraction)
    bundle = build([extracted, empty])
    (one,) = bundle.extractions
    assert (one.evidence_id, one.tool, one.version, one.original_sha256) == ("a", "pypdfium2", "5.0", "0" * 64)
    assert bundle.sha256 == build([plain]).sha256
    assert EvidenceBundle.model_validate_json(bundle.model_dump_json()) == bundle
