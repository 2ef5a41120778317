"""The rule ``number``: the quote names the value's quantity in any notation."""

from derive.proofs.association import FAR, distances, has_own_label, label_before
from derive.proofs.comparing import Relation, relate
from derive.proofs.date import judge_date
from derive.proofs.judgement import Context, Judgement, Verdict, refuted, shown, supported, undecided, worst
from derive.proofs.keys import Key, key_of
from derive.proofs.quantities import quantities
from derive.proofs.quantity import Quantity
from derive.proofs.reading import Reading, read
from derive.proofs.word_matching import excluding_word, missing_words

_EARLIER = frozenset(
    "previous prior old initial start former original baseline last before from earlier starting".split()
)
_CHANGES = frozenset("growth change increase gain gains profit return trend yoy difference delta balance".split())
_DOWN = frozenset(
    "fell fall falling dropped drop declined decline decrease decreased down loss lost lose deficit shrank contracted "
    "slipped reduced reduction negative overdrawn plunged slumped".split()
)
_BOUNDS = frozenset("about around least most than more less fewer not at over under up to approximately nearly".split())
_DOWN_AFTER = frozenset("loss decline drop decrease lower fall".split())
_COMPARED = frozenset("from than against versus vs".split())
_COMPARING = frozenset(
    "up down compared rose fell increased increase rise decrease versus against improvement widened narrowed improved "
    "climbed jumped dropped declined decreased grew shrank went raised cut slipped reduced".split()
)


def judge_number(value: str, quote: str, context: Context) -> Judgement:
    """Judge a value that is one quantity or a few, with units converted and number words read."""
    wanted = quantities(value)
    if not wanted:
        return undecided("The value holds no number that can be read.")
    key = key_of(context.key, context.unit)
    quoted = quantities(quote)
    if not quoted:
        return undecided("The quote holds no number.")
    if (
        len(wanted) == 1
        and wanted[0].is_exact
        and any(one.kind == "year" and one.low == wanted[0].low for one in quoted)
    ):
        by_date = judge_date(value, quote, context)
        if by_date.verdict is not Verdict.NOT_ENOUGH_INFO:
            return by_date
    reading, value_reading = read(quote), read(value)
    is_plain = len(quoted) == 1 and quoted[0].kind == wanted[0].kind == "" and not quoted[0].is_weak
    near = [FAR] if is_plain else distances(reading, quoted, key.cues)
    case = _Case(reading, quoted, near, key, value_reading)
    judgement = worst([case.judge(one) for one in wanted[:10]])
    if judgement.verdict is not Verdict.SUPPORTED:
        return judgement
    missing = missing_words(value_reading, reading, key.own, [(one.start, one.end) for one in wanted])
    if missing:
        other = excluding_word(value_reading, reading, missing)
        if other is not None:
            return refuted(
                f"The quote says “{shown(reading.raw[other])}”, not “{shown(value_reading.raw[missing[0]])}”."
            )
        return undecided(f"The quote has the number, but not “{shown(value_reading.raw[missing[0]])}”.")
    return judgement


class _Case:
    """The comparison of a value's quantities with a quote, for a key."""

    def __init__(
        self, reading: Reading, quoted: tuple[Quantity, ...], near: list[int], key: Key, value_reading: Reading
    ) -> None:
        self.reading = reading
        self.quoted = quoted
        self.near = near
        self.key = key
        self.value_reading = value_reading
        self.closest = min(near)

    def judge(self, wanted: Quantity) -> Judgement:
        relations = [self._relate(wanted, place) for place in range(len(self.quoted))]
        said = shown(self.value_reading.slice(wanted.start, wanted.end))
        same = [place for place, relation in enumerate(relations) if relation is Relation.SAME]
        if same:
            return self._of_same(relations, same, said)
        attached = [
            place
            for place, relation in enumerate(relations)
            if self.near[place] < FAR and relation is not Relation.APART
        ]
        places = attached or range(len(relations))
        for place in places:
            if relations[place] not in {Relation.APART, Relation.OTHER}:
                return undecided(_OPEN[relations[place]].format(quoted=self._said(place), value=said))
        others = [place for place in places if relations[place] is Relation.OTHER]
        if others:
            if self._is_sum(wanted):
                return undecided(f"The numbers of the quote add up to {said}, which it does not say itself.")
            place = min(others, key=lambda place: self.near[place])
            return refuted(f"The quote says {self._said(place)}, not {said}.")
        return undecided(f"The quote names no number to compare with {said}.")

    def _is_sum(self, wanted: Quantity) -> bool:
        """Whether all counts in the quote, with "a" as one, add up to the value."""
        counts = [
            one.low
            for one in self.quoted
            if one.kind == "" and one.unit is None and one.low is not None and one.low == one.high
        ]
        if any(one.end < len(self.reading) and self.reading.stems[one.end] in self.key.own for one in self.quoted):
            return False
        if (
            not counts
            or wanted.low is None
            or wanted.unit is not None
            or len(self.value_reading) > wanted.end - wanted.start
        ):
            return False
        low = self.reading.low
        single = sum(word in {"a", "an"} and low[at - 1] == "and" for at, word in enumerate(low) if at)
        total = sum(int(count) for count in counts if count < 10**12 and count == int(count))
        return len(counts) + single > 1 and bool(wanted.low == total + single)

    def _relate(self, wanted: Quantity, place: int) -> Relation:
        quantity = self.quoted[place]
        relation = relate(wanted, quantity, self.key, is_attached=self.near[place] < FAR)
        if quantity.is_negated:
            return Relation.OTHER if relation is Relation.SAME else Relation.APART
        if relation is Relation.OTHER:
            return self._weighed_other(wanted, quantity, place)
        return self._signed(wanted, quantity, relation)

    def _weighed_other(self, wanted: Quantity, quantity: Quantity, place: int) -> Relation:
        if quantity.is_weak and self.near[place] == FAR:
            return Relation.APART
        if self._is_opposite(wanted, quantity) and self._points_down(quantity):
            return Relation.SAME
        if (
            self.reading.word(quantity.start - 1) == "("
            and self.reading.word(quantity.end) == ")"
            and self._is_opposite(wanted, quantity)
        ):
            return Relation.SAME
        return Relation.OTHER

    def _signed(self, wanted: Quantity, quantity: Quantity, relation: Relation) -> Relation:
        """Refute a decrease that the value states as growth."""
        if relation is Relation.SAME and wanted.low is not None and wanted.low > 0 and quantity.low is not None:
            about_change = not _CHANGES.isdisjoint(self.key.words)
            explicit = self.value_reading.word(wanted.start - 1) == "+" or self.value_reading.word(wanted.start) == "+"
            if (about_change or explicit) and quantity.low > 0 and self._points_down(quantity):
                return Relation.OTHER
        return relation

    @staticmethod
    def _is_opposite(wanted: Quantity, quantity: Quantity) -> bool:
        if wanted.low is None or quantity.low is None or not (wanted.is_exact and quantity.is_exact):
            return False
        return wanted.low < 0 and wanted.low.copy_negate() == quantity.low

    def _points_down(self, quantity: Quantity) -> bool:
        low = self.reading.low
        before = low[max(0, quantity.start - 5) : quantity.start]
        return not _DOWN.isdisjoint(before) or self.reading.word(quantity.end) in _DOWN_AFTER

    def _of_same(self, relations: list[Relation], same: list[int], said: str) -> Judgement:
        """Decide whether a number in the quote is the one the key refers to."""
        if len(relations) == 1:
            return supported(f"The quote says {self._said(0)}.")
        place = min(same, key=lambda place: self.near[place])
        rivals = [
            other
            for other, relation in enumerate(relations)
            if relation is Relation.OTHER and not self.quoted[other].is_weak and not self.quoted[other].is_negated
        ]
        if rivals and self._is_earlier(place) and not any(self._is_earlier(rival) for rival in rivals):
            return refuted(
                f"The quote gives {self._said(place)} as the earlier figure, and {self._said(rivals[-1])} now."
            )
        if self.near[place] == self.closest or not rivals:
            return supported(f"The quote says {self._said(place)}.")
        rival = min(rivals, key=lambda rival: self.near[rival])
        floor = self.quoted[place - 1].end if place else 0
        quantity = self.quoted[place]
        is_named = self.near[place] > 3 and has_own_label(self.reading, quantity)
        if self.near[rival] > (7 if is_named else 3) or self.near[rival] + (not is_named) >= self.near[place]:
            return supported(f"The quote says {self._said(place)}.")
        if is_named or self.near[place] == FAR:
            if is_named or label_before(self.reading, quantity, floor):
                return refuted(f"The quote gives {self._said(rival)} here; {said} belongs to something else.")
            if quantity.unit == self.quoted[rival].unit:
                return supported(f"The quote says {self._said(place)}.")
        return undecided(f"The quote says both {self._said(rival)} and {said}; which one is meant is not clear.")

    def _is_earlier(self, place: int) -> bool:
        """Whether this is the number before a change ("from 2 to 3", "up from 2")."""
        low = self.reading.low
        at = self.quoted[place].start - 1
        while at >= 0 and low[at] in {"a", "the", "about", "some", "just", "around"}:
            at -= 1
        if at < 0 or low[at] not in _COMPARED or not _EARLIER.isdisjoint(self.key.words):
            return False
        if any(word.isdigit() and word in self.reading.low for word in self.key.words):
            return False
        if low[at] in {"against", "versus", "vs"} or (at and low[at - 1] in _COMPARING):
            return True
        if low[at] != "from" or _COMPARING.isdisjoint(low[max(0, at - 8) : at]):
            return False
        following = low[self.quoted[place].end : self.quoted[place].end + 4]
        # "from 2 to 3", or "to 3 from 2".
        return "to" in following or (place > 0 and self.reading.word(self.quoted[place - 1].start - 1) == "to")

    def _said(self, place: int) -> str:
        quantity = self.quoted[place]
        start = quantity.start
        if quantity.is_exact and not quantity.is_approximate:
            return shown(self.reading.slice(start, quantity.end))
        while start > max(0, quantity.start - 3) and self.reading.low[start - 1] in _BOUNDS:
            start -= 1
        return shown(self.reading.slice(start, quantity.end))


_OPEN = {
    Relation.ROUNDED: "The quote says {quoted}; {value} is rounded.",
    Relation.WITHIN: "The quote says {quoted}; {value} fits, but is not what it says.",
    Relation.UNIT_MISSING: "The quote says {quoted} without the unit of {value}.",
    Relation.OTHER_READING: "{quoted} can be read in two ways, one of which is {value}.",
    Relation.NEAR_UNIT: "The quote says {quoted}; {value} fits only with another unit, which the value does not name.",
}
