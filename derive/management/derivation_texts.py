"""Plans, applications and standings of derivations as lines of text."""

from collections.abc import Iterable
from datetime import timedelta

from derive.derivations.applying import Applied
from derive.derivations.planning import Plan
from derive.derivations.price import PriceRange
from derive.derivations.status import Standing
from derive.sources.contract import Unreadable
from derive.states import StaleBecause, SubjectState
from derive.visible_text import visible


def plan_text(plan: Plan) -> str:
    """Return a plan with its price."""
    rows = [
        (plan.new, "new"),
        (plan.changed, "changed: the evidence is another"),
        (plan.stale[StaleBecause.DEFINITION], "stale: the interrogation's definition is another"),
        (plan.stale[StaleBecause.MODEL], "stale: the model is another"),
        (plan.stale[StaleBecause.ASKED], "stale: asked again"),
        (plan.gone, "gone from the source" + (", kept: a part of it could not be read" if plan.is_partial else "")),
        (plan.current, "current"),
        (plan.queued, "queued already"),
        (plan.failed, "failed; derive ask --failed tries them again"),
        (plan.left_out, "left out by a rule"),
        (plan.unreadable, "cannot be read"),
        (plan.duplicates, "come twice; the first one counts"),
    ]
    lines = [f"{plan.derivation}: applying would queue {plan.to_derive:,} jobs"]
    lines += [f"{amount:>12,}  {words}" for amount, words in rows if amount or words in {"new", "current"}]
    price = plan.price
    if price.tokens is not None and price.model_seconds is not None and price.jobs:
        lines.append(f"price, from {price.from_runs:,} runs (range: 9 times in 10):")
        lines.append(f"  tokens        {_range(price.tokens)}")
        lines.append(f"  model time    {_time(price.model_seconds)}")
        if price.wall_seconds is not None:
            lines.append(f"  done in       {_time(price.wall_seconds)} with the workers that run now")
    if price.why is not None and price.jobs:
        lines.append(f"price: {price.why}")
    return "\n".join([*lines, *_unread(plan.shown)])


def applied_text(key: str, applied: Applied) -> str:
    """Return what an application did."""
    words = f"{key}: {applied.queued:,} queued, {applied.retired:,} retired"
    if applied.left:
        words += f", {applied.left:,} left to the next call: {applied.why}"
    if applied.unreadable:
        words += f"; {applied.unreadable:,} cannot be read"
    return "\n".join([words, *_unread(applied.shown)])


def standing_line(standing: Standing) -> str:
    """Return one line of the list."""
    declared = standing.declared
    if declared.broken is not None:
        return f"{declared.key}: {declared.broken}"
    paused = ", paused" if declared.row and declared.row.paused_utc else ""
    if declared.row is None:
        return f"{declared.key}: never applied"
    return f"{declared.key}: {standing.percent} % of {standing.subjects:,} subjects current{paused}"


def standing_text(standing: Standing) -> str:
    """Return how one derivation stands."""
    row = standing.declared.row
    lines = [standing_line(standing)]
    lines += [f"{standing.states[state]:>12,}  {state}" for state in SubjectState if standing.states[state]]
    lines += [f"{amount:>12,}  of the stale: {because}" for because, amount in standing.stale.most_common()]
    if row is not None:
        lines += [
            f"{name}: {moment:%Y-%m-%d %H:%M} UTC"
            for name, moment in (
                ("compared", row.planned_utc),
                ("nothing was left", row.applied_utc),
                ("next", row.next_utc),
            )
            if moment is not None
        ]
    for batch in standing.batches[:3]:
        state = "ended" if batch.finished_utc else "paused" if batch.paused_utc else "running"
        lines.append(f"batch {batch.batch_id}: {batch.queued_jobs:,} jobs, {state}")
    return "\n".join(lines)


def _unread(shown: Iterable[Unreadable]) -> list[str]:
    return [f"  {visible(one.address)}: {visible(one.reason)}" for one in shown]


def _range(value: PriceRange) -> str:
    return f"{value.expected:,.0f} ({value.low:,.0f} to {value.high:,.0f})"


def _time(value: PriceRange) -> str:
    expected, low, high = (str(timedelta(seconds=round(one))) for one in (value.expected, value.low, value.high))
    return f"{expected} ({low} to {high})"
