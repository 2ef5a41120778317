"""Interprets a fact's key: the words that name it in a quote, its unit, and what it measures."""

from functools import lru_cache
from typing import NamedTuple

from derive.proofs.stems import root, stem
from derive.proofs.units import Unit, unit_named

_FAMILIES = """
height tall high height stand stature
length long length stretch
width wide width breadth beam
depth deep depth
thickness thick thickness
diameter diameter across
weight/mass/payload weigh weight mass heavy
age aged age old
birth/born/dob/birthday/birthplace born birth birthplace birthday dob b native
death/died/deceased died die death dead killed passed perished deceased d
start/begin/commencement/effective/inception start begin commence commencement effective effect from since open join
end/expiry/expiration/termination/expires end expire expiry expiration until terminate close leave finish
founded/foundation/established founded establish formed create incorporate set foundation inception started founder
launch launched maiden
population population inhabitant resident people population person
price cost price fee charge sold pay worth sell
cost cost price fee charge worth
revenue/turnover/sales revenue turnover sales
profit/income/earnings profit earnings income net
loss loss lost
salary/wage/pay salary earn wage pay paid
employees/employed/staff/headcount employ employee staff workforce people worker headcount
members member membership
passengers passenger seat
capacity capacity hold carry seat accommodate
crew crew
speed/velocity speed velocity fast
temperature/temp temperature temp fever
duration/length_of_time last duration long took term run lasted
distance distance away far
signed sign signed signature execute
published publish release issue print
release release issue publish ship
married marry wed wedding
children child son daughter
siblings sibling brother sister
moons moon satellite
dose dose dosage take prescribe administer
score score win beat
goals goal score
discovered discover detect
appointed appoint appointment name
elected elect election
graduated graduate graduation
retired retire retirement
delivery deliver delivery
payment pay payment due
due due
area area cover
volume volume
votes vote
sample sample n participant subject
students student pupil enrol
deposit deposit
rent rent
interest interest rate
heart heart pulse rate
pressure pressure
resigned resign
acquired acquire bought buy purchase
built build construct complete
completed complete finish
"""
_STOP = frozenset(
    "date year years count number num no of in the value total amount per at by on for to is has a an and name "
    "type level "
    "rate size time day month current first last max min maximum minimum average avg mean fact s".split()
)
_UNIT_WORDS = frozenset(
    "m cm mm km kg g mg lb lbs ft usd eur gbp jpy chf pct percent percentage kmh kph mph days hours years "
    "months weeks "
    "minutes seconds ms tonnes litres ml l mw kw gb mb metres meters kilometres kilometers kilograms grams "
    "miles feet "
    "inches celsius fahrenheit kelvin hectares acres km2 m2 ha mmhg bpm bps ly pounds dollars euros kwh mwh "
    "kcal".split()
)
_SCALES = {"thousands": 10**3, "millions": 10**6, "billions": 10**9, "mn": 10**6, "bn": 10**9, "k": 10**3}
_DIMENSIONS = {
    "length": "height length width depth thickness diameter distance altitude elevation wingspan radius range "
    "circumference",
    "mass": "weight mass payload",
    "time": "duration",
    "temperature": "temperature temp",
    "money": "price cost revenue profit salary budget fee turnover income earnings loss rent deposit fine penalty "
    "capital wage",
    "speed": "speed velocity",
    "area": "area",
    "count": "moons suns crew passengers population members employees children siblings goals votes students points "
    "wins episodes pages rings wheels legs eyes arms engines turbolasers staff headcount inhabitants",
}
_DIMENSION_OF = {word: dimension for dimension, words in _DIMENSIONS.items() for word in words.split()}
_YEARISH = frozenset(
    "year born birth died death founded established date since built launched published signed".split()
)


class Key(NamedTuple):
    """A parsed key. ``own`` are the stems of its words, ``cues`` those of all words that name it in prose."""

    words: frozenset[str]
    own: frozenset[str]
    content: tuple[str, ...]
    cues: frozenset[str]
    unit: Unit | None
    scale: int
    dimension: str
    is_year: bool


def _families() -> dict[str, frozenset[str]]:
    found = {}
    for line in _FAMILIES.strip().splitlines():
        heads, *words = line.split()
        for head in heads.split("/"):
            found[stem(head)] = frozenset(map(stem, [head, *words]))
    return found


_CUES = _families()


@lru_cache(maxsize=2_048)
def key_of(key: str, unit: str = "") -> Key:
    """Parse a key ("max_height_m"); ``unit`` is the field's declared unit, which overrides the key's suffix."""
    words = [word for word in _split(key[:200]) if word]
    named = unit_named(unit) if unit else None
    content = [word for word in words if word not in _STOP]
    if named is None and len(words) > 1:
        named = _unit_of(words)
    if len(content) > 1:
        content = [word for word in content if word not in _SCALES and (word not in _UNIT_WORDS or word == content[0])]
    cues: set[str] = set()
    for word in content:
        cue = stem(word)
        cues.add(cue)
        if len(root(cue)) > 3:
            cues.add(root(cue))
        cues |= _CUES.get(cue, frozenset())
    dimension = next((_DIMENSION_OF[word] for word in reversed(content) if word in _DIMENSION_OF), "")
    return Key(
        words=frozenset(words),
        own=frozenset(map(stem, content)),
        content=tuple(content),
        cues=frozenset(cues),
        unit=named,
        scale=next((_SCALES[word] for word in words[1:] if word in _SCALES), 1),
        dimension=dimension,
        is_year=not _YEARISH.isdisjoint(words),
    )


def _split(key: str) -> list[str]:
    spaced = "".join(" " + letter if letter.isupper() else letter for letter in key) if not key.isupper() else key
    return "".join(letter.lower() if letter.isalnum() else " " for letter in spaced).split()


def _unit_of(words: list[str]) -> Unit | None:
    last = words[-1]
    if last in _UNIT_WORDS:
        return unit_named(last)
    if last in {"c", "f", "k"} and not {"temperature", "temp"}.isdisjoint(words):
        return unit_named("°" + last)
    if len(words) > 2 and words[-2] == "per" and words[-3] in _UNIT_WORDS:
        return unit_named(f"{words[-3]}/{last}")
    return None
