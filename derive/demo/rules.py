"""The stand-in's rules, which find facts in a text together with their exact quotes.

They are patterns for English sentences (and a few in other scripts), without understanding: they find only plain
statements in the forms this table contains.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = r"(?:[Tt]he )?[A-Z\d][\w'’-]*(?:(?: of(?: the)?)? [A-Z\d][\w'’-]*)*"
_NAMES = rf"{_NAME}(?:, {_NAME})*(?:,? and {_NAME})?"
_COUNT = r"(?:\d[\d.,]*\d|\d|no|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|sixty)"
_AMOUNT = rf"{_COUNT}(?: (?:thousand|million|billion))?"
_YEAR = r"\d+ (?:BBY|ABY)"
_THINGS = r"[^.;:!?]+?(?=[.;:!?]|, (?:which|who|she|he|it|and its|and their|because)|$)"
_WORDS = r"[^,.;:!?]+?(?=[,.;:!?]| and | but | until | who | which | that |$)"
_PEOPLE = r"(?:[A-Z][a-z]+(?:['’-][a-z]+)?|human)"
_SHIPS = r"(?:freighter|tug|frigate|racer|hauler|barge|fighter|cruiser|yacht)"


@dataclass(frozen=True)
class RuleFact:
    """One finding. ``quote`` is an exact slice of the text; ``confidence`` is 0 to 100.

    ``single`` means that an entity has one such value, so two different ones disagree.
    """

    fact_key: str
    value: str
    confidence: int
    quote: str
    single: bool = True


@dataclass(frozen=True)
class Rule:
    """If ``pattern`` matches, its group ``v`` is a value of ``fact_key``, or a list of values if ``many``."""

    fact_key: str
    pattern: re.Pattern[str]
    confidence: int = 90
    many: bool = False


def _rule(fact_key: str, pattern: str, *, confidence: int = 90, many: bool = False) -> Rule:
    return Rule(fact_key, re.compile(pattern), confidence, many)


RULES: tuple[Rule, ...] = (
    # people
    _rule("species", rf"\bis an? (?P<v>{_PEOPLE}) (?!{_SHIPS})[a-z]+"),
    _rule("occupation", rf"\bis an? {_PEOPLE} (?P<v>(?!{_SHIPS})[a-z]+)"),
    _rule("homeworld", rf"\b(?:comes from|hails from|grew up on|was raised on|native to) (?P<v>{_NAME})"),
    _rule("birthplace", rf"\bborn (?:in {_YEAR} )?on (?:the [a-z ]+ of )?(?P<v>{_NAME})"),
    _rule("birth", rf"\bborn (?:on {_NAME} )?in (?P<v>{_YEAR})"),
    _rule("death", rf"\bdied (?P<v>(?:at|on) {_NAME}(?: in {_YEAR})?)"),
    _rule("residence", rf"\blives on (?P<v>(?:the moon of )?{_NAME})"),
    _rule("height", r"\b(?:stands|grows to) (?P<v>[\d.]+ metres)"),
    _rule("height", r"\byoung grow to (?P<v>[\d.]+ metres)", confidence=60),
    _rule("mass", r"\bweighs (?P<v>[\d.,]+ kilograms)"),
    _rule("eye_colour", r"\bhas (?P<v>[a-z]+) eyes"),
    _rule("alias", rf"\b(?:known as|under the name of|nicknamed) (?P<v>{_NAME})"),
    _rule("alias", r"call (?:her|him|them) “(?P<v>[^”]+)”"),
    _rule("master", rf"\btrained by (?P<v>{_NAME}(?: and later by {_NAME})?)", many=True),
    _rule("family", rf"\b(?:brother|sister|sibling) of (?P<v>{_NAME})"),
    _rule("family", rf"\b(?:son|daughter|child) of (?P<v>{_NAME})"),
    _rule("affiliation", rf"\b(?:member of|served with|serves with|flew with|flies for) (?P<v>{_NAME})"),
    _rule("employer", rf"\bworks for (?P<v>{_NAME})"),
    _rule("commands", rf"\bcommand(?:s|ed) (?P<v>{_NAME})"),
    _rule("captain_of", rf"\bcaptain of (?P<v>{_NAME})"),
    _rule("co_pilot_of", rf"\bco-pilot of (?P<v>{_NAME})"),
    _rule(
        "language",
        rf"\b[Ss]peaks? (?P<v>(?:a rough )?{_NAME}(?:, {_NAME})*(?:,? and (?:a rough )?{_NAME})?)",
        many=True,
    ),
    _rule("weapon", rf"\bcarries an? (?P<v>{_WORDS})", confidence=80),
    # worlds
    _rule("region", rf"\blies in (?P<v>{_NAME}(?: borderlands)?)"),
    _rule("suns", rf"\borbits (?P<v>{_NAMES})"),
    _rule("moons", rf"\bhas (?P<v>{_COUNT}) moons?\b"),
    _rule("capital", rf"\bcapital is (?P<v>{_NAME})"),
    _rule("population", rf"\bpopulation of (?P<v>{_AMOUNT})"),
    _rule("climate", r"\bclimate is (?P<v>[a-z]+)"),
    _rule("terrain", rf"\bcovered by (?P<v>{_WORDS}(?: and [a-z ]+?(?=[,.;]))?)", many=True),
    _rule("inhabitants", rf"\bhome to (?P<v>{_NAMES})", many=True),
    _rule("government", rf"\bgoverned by (?P<v>{_NAME})"),
    _rule("day_length", rf"\bday lasts (?P<v>{_COUNT} hours)"),
    _rule("year_length", rf"\byear lasts (?P<v>{_COUNT} days)"),
    _rule("gravity", r"\bgravity is (?P<v>[\d.]+ standard)"),
    _rule("exports", rf"\bexports (?P<v>{_THINGS})", many=True),
    # ships
    _rule("class", rf"\bis an? (?P<v>(?:[\w-]+ ){{0,3}}{_SHIPS})\b"),
    _rule("manufacturer", rf"\b(?:built|made) by (?P<v>{_NAME})"),
    _rule("designer", rf"\bdesigned by (?P<v>{_NAME})"),
    _rule("length", r"\bis (?P<v>[\d.,]+ (?:kilometres|metres) long)"),
    _rule("crew", rf"\bcrew of (?P<v>{_COUNT})"),
    _rule("passengers", rf"\b(?:can )?carry (?P<v>{_COUNT}) passengers"),
    _rule("capacity", rf"\bcan carry (?P<v>{_COUNT} (?:patients|tonnes(?: of cargo)?))"),
    _rule("capacity", r"\bhangars hold (?P<v>\d+ [A-Z]+ fighters)"),
    _rule("armament", rf"\barmed with (?P<v>{_WORDS}(?: and [a-z ]+?(?=[,.;]))?)", confidence=85),
    _rule("hyperdrive", r"\bclass (?P<v>[\d.]+|one|two|three|four) hyperdrive"),
    _rule("speed", r"\btop speed is (?P<v>[\d.,]+ kilometres per hour)"),
    _rule("owner", rf"\bowned by (?P<v>{_NAME}(?: family)?)"),
    _rule("launched", rf"\blaunched in (?P<v>{_YEAR})"),
    # organizations
    _rule("founded", rf"\bfounded in (?P<v>{_YEAR})"),
    _rule("founder", rf"\bfounded (?:in {_YEAR} )?by (?P<v>{_NAMES}|the [a-z ]+)"),
    _rule("headquarters", rf"\bbased on (?P<v>{_NAME}|the [a-z]+ [a-z]+(?: of {_NAME})?)"),
    _rule("leader", rf"\bled by (?P<v>{_NAME}|an? {_NAME}|nobody)"),
    _rule("members", rf"\bhas (?P<v>{_COUNT}) members"),
    _rule("motto", r"\bmotto is “(?P<v>[^”]+)”"),
    _rule("trade", rf"\btrades in (?P<v>{_THINGS})", many=True),
    _rule("enemy", rf"\bopposed to (?P<v>{_NAME})"),
    _rule("ally", rf"\ballied with (?P<v>{_NAME})"),
    _rule("governs", rf"\bgoverns (?P<v>{_NAME})"),
    # species and droids
    _rule("lifespan", r"\blive for (?P<v>[\d.,]+ years)"),
    _rule("breathes", rf"\bbreathe (?P<v>{_WORDS})"),
    _rule("diet", r"\beat (?P<v>[a-z ]+?)(?=[.,;])", many=True),
    _rule("anatomy", rf"\b[Tt]hey have (?P<v>{_COUNT} [a-z]+(?: and {_COUNT} [a-z]+)?)", many=True),
    _rule("class", r"\bis an? (?P<v>[a-z]+ droid)\b"),
    _rule("equipment", rf"\bequipped with (?P<v>{_THINGS})", many=True, confidence=85),
    _rule("served", rf"\bhas served (?P<v>{_NAMES})", many=True),
    _rule("fluency", r"\bfluent in (?P<v>[^.;]+)"),
    _rule("memory_wiped", rf"\bmemory was last wiped in (?P<v>{_YEAR})"),
    _rule("last_seen", rf"\blast seen on (?P<v>{_NAME})"),
    # other scripts
    _rule("birthplace", r"惑星(?P<v>[\u30a0-\u30ff]+)で生まれ"),
    _rule("captain_of", r"「(?P<v>[^」]+)」の船長"),
    _rule("birthplace", r"родил(?:ся|ась) на планете (?P<v>[А-ЯЁ]\w+)"),
    _rule("commands", r"командует \w+ \w+ «(?P<v>[^»]+)»"),
    _rule("birthplace", r"γεννήθηκε στον πλανήτη (?P<v>\w+)"),
    _rule("language", r"Μιλάει (?P<v>\w+(?: και \w+)*)", many=True),
    _rule("birthplace", r"على كوكب (?P<v>\w+)"),
)

_SENTENCE = re.compile(r"[^\s.!?。].*?(?:[.!?](?=\s|$)|。|$)", re.MULTILINE)
MAX_QUOTE_CHARACTERS = 400
_ADDRESSES_THE_READER = re.compile(
    r"(?i)\b(?:ignore|disregard|forget) (?:the|all|any|every)\b|\byou are now\b|\breport that\b"
)
"""Sentences that give instructions to the reader are ignored, together with anything they claim."""
_BETWEEN = re.compile(r",? and (?:later by )?|, | και ")


def find_facts(text: str) -> Iterator[RuleFact]:
    """Yield the facts the rules find, in the order of the text, without duplicates.

    A quote is the whole sentence, or in a very long one only the words that the rule matched.
    """
    seen: set[tuple[str, str]] = set()
    for sentence in _SENTENCE.findall(text):
        if _ADDRESSES_THE_READER.search(sentence):
            continue
        for fact in sorted(_facts_of(sentence), key=lambda found: sentence.find(found.value)):
            if (fact.fact_key, fact.value) not in seen:
                seen.add((fact.fact_key, fact.value))
                yield fact


def first_sentence(text: str) -> str:
    """Return an exact slice of the text that reads as a sentence; empty if the text is blank."""
    found = _SENTENCE.search(text)
    return found.group() if found else ""


def _facts_of(sentence: str) -> Iterator[RuleFact]:
    for rule in RULES:
        for match in rule.pattern.finditer(sentence):
            values = _BETWEEN.split(match["v"]) if rule.many else [match["v"]]
            for value in values:
                if value.strip():
                    quote = sentence if len(sentence) <= MAX_QUOTE_CHARACTERS else match.group()
                    yield RuleFact(rule.fact_key, value.strip(), rule.confidence, quote.strip(), single=not rule.many)
