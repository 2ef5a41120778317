"""Deliveries as lines of text."""

from collections.abc import Iterable

from derive.deliveries.delivering import Delivered
from derive.deliveries.outbox import Refusal
from derive.visible_text import visible


def delivered_text(done: Delivered, *, is_dry_run: bool = False) -> str:
    """Return what a delivery did, or what waits."""
    words = f"{done.key} to {done.table}: "
    if not is_dry_run:
        words += f"{done.written:,} written, {done.retired:,} retired, "
    words += f"{done.outbox.waiting:,} waiting, {done.outbox.refused:,} refused"
    lines = [words] if done.problem is None else [words, f"  {done.problem}"]
    return "\n".join([*lines, *_refused(done.outbox.refusals)])


def waiting_lines(looked: Delivered) -> list[str]:
    """Return the lines of a derivation's status about its target."""
    table, outbox, problem = looked.table, looked.outbox, looked.problem
    since = f" since {outbox.oldest_utc:%Y-%m-%d %H:%M} UTC" if outbox.oldest_utc else ""
    words = f"target {table}: {outbox.waiting:,} changes waiting{since}, {outbox.refused:,} refused"
    lines = [words] if problem is None else [words, f"  {problem}"]
    return [*lines, *_refused(outbox.refusals)]


def _refused(refusals: Iterable[Refusal]) -> list[str]:
    return [f"  {visible(one.entity_type)} {visible(one.entity_id)}: {visible(one.why)}" for one in refusals]
