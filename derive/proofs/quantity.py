"""One quantity in a text."""

from dataclasses import dataclass
from decimal import Decimal

from derive.proofs.units import Unit


@dataclass(slots=True)
class Quantity:
    """A quantity: its bounds (None: unbounded), its unit, and its range of tokens.

    ``kind`` is "" for a plain number, or ordinal, year, decade, part, times, group, vague, sequence (120/80, 3:1, a
    sports score) or none (no, without). ``other`` is the alternative reading of an ambiguous literal. ``is_weak``: can
    support but never refute. ``is_scaled``: includes a word such as million. ``may_be_millions``: written like "12m".
    """

    low: Decimal | None
    high: Decimal | None
    start: int
    end: int
    unit: Unit | None = None
    kind: str = ""
    other: Decimal | None = None
    is_approximate: bool = False
    is_negated: bool = False
    is_weak: bool = False
    is_scaled: bool = False
    may_be_millions: bool = False
    parts: tuple[Decimal, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether it is one number, neither a range nor a bound."""
        return self.low is not None and self.low == self.high

    def bound(self, *, upward: bool) -> None:
        """Make it a lower bound, or an upper one."""
        if upward:
            self.high = None
        else:
            self.low = None

    def negate(self) -> None:
        """Reverse the sign."""
        low, high = self.low, self.high
        self.low = None if high is None else high.copy_negate()
        self.high = None if low is None else low.copy_negate()
