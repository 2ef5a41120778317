"""Decides which copy of a seal is genuine: its row, its file, or the next seal, which names its head."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from derive.lake import Lake
from derive.sealing.document import NO_HEAD, SealDocument, head_of, seal_place
from derive.sealing.findings import AuditFinding, FindingKind
from derive.sealing.rows import utc_text
from derive.sealing.stored import ChainLink, links, read_document


@dataclass(frozen=True, slots=True)
class CheckedSeal:
    """One checked seal: its findings, its head, and its document if it can be trusted."""

    seal_seq: int
    head: str
    findings: tuple[AuditFinding, ...]
    document: SealDocument | None
    last_event_seq: int


@dataclass(frozen=True, slots=True)
class _Read:
    """A stored seal with its document; ``head`` is the hash of the bytes read."""

    link: ChainLink
    document: SealDocument | None
    head: str | None
    why_not: str


def trusted_seals(lake: Lake, noted: dict[int, str]) -> Iterator[CheckedSeal]:
    """Yield every seal in order; ``noted`` are heads by number that were stored elsewhere.

    Raises LakeUnavailable, QueueError.
    """
    before: _Read | None = None
    expected_seq = 1
    for link in links(lake):
        read = _read(lake, link)
        if before is not None:
            yield _judge(before, read, noted)
        for missing in range(expected_seq, min(link.seal_seq, expected_seq + 100)):
            why = "neither SQL nor the lake has it"
            yield CheckedSeal(missing, "", (_finding(missing, FindingKind.MISSING, why),), None, 0)
        expected_seq = link.seal_seq + 1
        before = read
    if before is not None:
        yield _judge(before, None, noted)
    for seal_seq in sorted(number for number in noted if number >= expected_seq):
        why = "its head was noted, and neither SQL nor the lake has it"
        yield CheckedSeal(seal_seq, "", (_finding(seal_seq, FindingKind.MISSING, why),), None, 0)


def _read(lake: Lake, link: ChainLink) -> _Read:
    data: bytes | str = "the lake does not have its document"
    if link.uris:
        data = read_document(lake, link.uris[0])
    elif link.row is not None and link.row.pending_json is not None:
        # Not in the lake yet: sealing was interrupted and will continue.
        data = link.row.pending_json.encode("utf-8", "surrogatepass")
    elif link.row is not None:
        # Sealed after the lake was listed.
        data = read_document(lake, "/".join(seal_place(link.row.created_utc, link.row.seal_seq)))
    if isinstance(data, str):
        return _Read(link, None, None, data)
    return _Read(link, SealDocument.parse(data), head_of(data), "")


def _judge(read: _Read, after: _Read | None, noted: dict[int, str]) -> CheckedSeal:
    link, row = read.link, read.link.row
    number = link.seal_seq
    findings: list[AuditFinding] = []
    head = noted.get(number) or _most_common_head(read, after)
    if row is None:
        findings.append(_finding(number, FindingKind.MISSING, "the lake has its document, SQL has no row of it"))
    elif row.sha256 != head:
        findings.append(_finding(number, FindingKind.CHANGED, f"its row says head {row.sha256}, it was {head}"))
    document = read.document if read.head == head else None
    if read.head is None:
        what = FindingKind.UNREADABLE if link.uris else FindingKind.MISSING
        findings.append(_finding(number, what, read.why_not))
    elif document is None:
        findings.append(
            _finding(number, FindingKind.CHANGED, f"its document in the lake has the head {read.head}, it was {head}")
        )
    elif row is not None:
        findings += [_finding(number, FindingKind.CHANGED, why) for why in _differences(row, document)]
    findings += [
        _finding(number, FindingKind.INSERTED, f"the lake has a second document of it, {uri}") for uri in link.uris[1:]
    ]
    last = document.last_event_seq if document is not None else (row.last_event_seq if row is not None else 0)
    return CheckedSeal(number, head, tuple(findings), document, last)


def _most_common_head(read: _Read, after: _Read | None) -> str:
    """Return the head that most copies agree on: changing one copy leaves the others in the majority.

    The last seal has only two copies; a difference is reported.
    """
    named = [read.link.row.sha256 if read.link.row is not None else None, read.head]
    if after is not None and after.link.seal_seq == read.link.seal_seq + 1:
        named.append(after.document.previous_sha256 if after.document is not None else None)
        named.append(after.link.row.previous_sha256 if after.link.row is not None else None)
    heads = Counter(head for head in named if head is not None)
    return heads.most_common(1)[0][0] if heads else ""


def _differences(row: Any, document: SealDocument) -> list[str]:
    """Return the columns in which a row differs from its document."""
    pairs = {
        "first_event_seq": (row.first_event_seq, document.first_event_seq),
        "last_event_seq": (row.last_event_seq, document.last_event_seq),
        "event_count": (row.event_count, len(document.events)),
        "previous_sha256": (row.previous_sha256, document.previous_sha256),
        "created_utc": (utc_text(row.created_utc), document.created_utc),
        "seal_seq": (row.seal_seq, document.seal_seq),
    }
    found = [f"{name} in SQL is {sql}, its document says {said}" for name, (sql, said) in pairs.items() if sql != said]
    if document.seal_seq == 1 and document.previous_sha256 != NO_HEAD:
        found.append("it is the first one, and stands on another")
    return found


def _finding(number: int, what: FindingKind, why: str) -> AuditFinding:
    return AuditFinding("seal", str(number), what, why)
