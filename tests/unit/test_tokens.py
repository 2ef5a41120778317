"""Token estimates: by script, in a range that is safe until a model's own counts narrow it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.errors import EvidenceTooLarge
from derive.evidence.tokens import Estimate, KnownLines, TextKind, TokenRates, check_fits, make_up_of

ENGLISH = "Luke Skywalker was born on a small planet, and lived there for nineteen years. " * 20
SAMPLES = {
    # What today's vocabularies take, in tokens a byte; measured against 0.25 for English prose.
    "english": (ENGLISH, 0.257),
    "german": ("Der alte Händler verkaufte Feuchtigkeitsfarmern seine gebrauchten Maschinen. " * 20, 0.37),
    "russian": ("Люк Скайуокер родился на маленькой планете и жил там девятнадцать лет. " * 20, 0.36),
    "json": ('{"fact_key": "born", "value": 19, "tags": ["a1", "b2"], "n": {"x": 0.5}}\n' * 80, 0.45),
    "japanese": ("ルークは小さな惑星で生まれ、十九年間そこに住んでいました。" * 20, 0.6),
    "emoji": ("🚀🌍✨" * 60, 0.73),
    "hex": ("3f2a9c7be41d08aa " * 60, 0.95),
}


def estimate(text: str, rates: TokenRates | None = None, model: str = "m") -> Estimate:
    return (rates or TokenRates()).estimate(make_up_of(text), model=model)


@pytest.mark.parametrize("name", SAMPLES)
def test_without_history_the_range_holds_what_the_script_takes(name: str) -> None:
    text, rate = SAMPLES[name]
    tokens = rate * len(text.encode())
    told = estimate(text)
    assert told.low <= tokens <= told.high
    assert told.expected == pytest.approx(tokens, rel=0.35)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_models_own_counts_narrow_the_range_to_a_few_percent(name: str) -> None:
    text, rate = SAMPLES[name]
    rates = TokenRates()
    for part in range(1, 9):
        piece = text[: len(text) * part // 8]
        rates.learn(make_up_of(piece), round(rate * len(piece.encode())), model="m")
    tokens = rate * len(text.encode())
    told = estimate(text, rates)
    assert told.low <= tokens <= told.high
    assert told.expected == pytest.approx(tokens, rel=0.05)
    assert told.high <= 1.3 * tokens
    assert estimate(text, rates, model="another") == estimate(text)


def test_rates_learned_for_one_script_do_not_affect_another() -> None:
    rates = TokenRates()
    for _ in range(10):
        rates.learn(make_up_of(ENGLISH), len(ENGLISH) // 4, model="m")
    japanese = SAMPLES["japanese"][0]
    assert estimate(japanese, rates) == estimate(japanese)


def test_a_count_that_cannot_be_is_not_believed_for_long() -> None:
    rates = TokenRates()
    rates.learn(make_up_of(ENGLISH), 1, model="m")
    rates.learn(make_up_of(ENGLISH), 0, model="m")
    rates.learn(make_up_of(""), 9, model="m")
    for _ in range(12):
        rates.learn(make_up_of(ENGLISH), len(ENGLISH) // 4, model="m")
    assert estimate(ENGLISH, rates).expected == pytest.approx(len(ENGLISH) / 4, rel=0.05)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words, really.", {TextKind.LATIN: 20}),
        ("a9f {x}", {TextKind.CODE: 4, TextKind.LATIN: 3}),
        ("Ångström", {TextKind.ALPHABET: 10}),
        ("Люк", {TextKind.ALPHABET: 6}),
        ("莱娅 가", {TextKind.CJK: 9, TextKind.LATIN: 1}),
        ("🚀→", {TextKind.EMOJI: 7}),
        ("x" * 50, {TextKind.CODE: 50}),
    ],
)
def test_text_is_distinguished_by_script(text: str, expected: dict[TextKind, int]) -> None:
    assert {script: size for script, size in make_up_of(text).items() if size} == expected


@given(st.text(), st.text())
def test_an_estimate_grows_with_the_text_keeps_its_order_and_is_never_nothing(text: str, more: str) -> None:
    told, longer = estimate(text), estimate(f"{text} {more}")
    assert told.high <= longer.high
    assert told.low <= told.expected <= told.high <= 2 + 1.05 * len(text.encode(errors="replace"))
    assert (told.expected == 0) == (text == "")


@given(st.text())
def test_every_byte_belongs_to_one_script(text: str) -> None:
    assert sum(make_up_of(text).values()) == len(text.encode(errors="replace"))


_PIECES = st.sampled_from(
    ["plain words", "a9f {x}", "Ångström, 1st", "莱娅 가", "🚀→", "x" * 50, "é\u00a0z\u2028y", "\n", "\r", ""]
)


@given(st.lists(_PIECES).map("".join), st.lists(_PIECES))
def test_lines_known_beforehand_change_no_make_up(text: str, known: list[str]) -> None:
    known_lines = KnownLines(*known, *text.split("\n")[::2])
    assert known_lines.make_up_of(text) == make_up_of(text)


def test_only_what_surely_does_not_fit_is_refused_with_the_range_and_what_to_do() -> None:
    check_fits(Estimate(expected=900, low=744, high=1200), 1000)
    with pytest.raises(EvidenceTooLarge, match=r"about 900 tokens \(745 to 1200\).*OLLAMA_NUM_CTX"):
        check_fits(Estimate(expected=900, low=745, high=1200), 1000)
