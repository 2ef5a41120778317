"""Estimates a prompt's tokens from its scripts, and corrects the estimates by the counts models report."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from math import ceil, exp, log

from derive.errors import EvidenceTooLarge

MIN_ANSWER_TOKENS = 256
"""Space for an answer of two or three facts. With less, the answer would be cut off."""
MIN_OBSERVATIONS = 3
MIN_LEARNED_BYTES = 2_000
"""Bytes of a script to have seen before its learned rate is trusted."""
_WEIGHT_OF_NEWEST = 0.2
_LEAST_ERROR = 0.05
"""Relative error that always remains: prompts differ even when the rates are well known."""


class TextKind(Enum):
    """Kinds of text that tokenisers treat differently."""

    LATIN = "latin"
    """Words of ASCII letters, their spaces and punctuation."""
    ALPHABET = "alphabet"
    """Words with any other letter: accented Latin, Cyrillic, Greek, Arabic, Devanagari …"""
    CJK = "cjk"
    CODE = "code"
    """Digits, hexadecimal, identifiers with digits, symbols, and strings too long to be a word."""
    EMOJI = "emoji"
    """Emoji, arrows, box drawing and other pictures."""


@dataclass(frozen=True)
class _Rate:
    """Tokens per byte of UTF-8 with current vocabularies: lowest, typical, highest."""

    low: float
    usual: float
    high: float


_RATES = {
    # English prose takes 0.25, German 0.37 and rare names 0.45; the letters alone do not distinguish them.
    TextKind.LATIN: _Rate(0.22, 0.26, 0.45),
    TextKind.ALPHABET: _Rate(0.25, 0.43, 0.65),
    TextKind.CJK: _Rate(0.25, 0.58, 0.8),
    TextKind.CODE: _Rate(0.25, 0.75, 1.05),
    TextKind.EMOJI: _Rate(0.25, 0.73, 1.05),
}
"""Measured on Ollama with prompts in each script. Relative to the usual estimate of four characters or three bytes per
token, which suits English (0.25), Russian and German take 1.3 and 1.5 times as many tokens; code, JSON, Japanese,
Chinese and names 1.7 to 1.9; emoji 2.2; digits and hexadecimal 3.7 to 4."""

_CJK = "\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_EMOJI = "\u2190-\u2bff\ufe00-\ufe0f\u200d\U0001f000-\U0001faff"
_OTHER = f"^\\x00-\\x7f{_CJK}{_EMOJI}"
# Each alternative begins with a distinct character class, so text without it is skipped quickly.
_CODED = re.compile(r"[0-9][A-Za-z0-9]*")
_SYMBOLS = rb"{}[]<>/\=_@#$%&*+~^|`"
_LONGEST_WORD = 40
_NOT_ASCII = {
    TextKind.CJK: re.compile(f"[{_CJK}]+"),
    TextKind.EMOJI: re.compile(f"[{_EMOJI}]+"),
    TextKind.ALPHABET: re.compile(f"[{_OTHER}](?:[{_OTHER}]|[A-Za-z])*"),
}

MakeUp = Mapping[TextKind, int]
"""The number of bytes of UTF-8 in a text by script."""


@dataclass(frozen=True)
class Estimate:
    """A text's number of tokens: the expected value, and the range it lies in."""

    expected: int
    low: int
    high: int

    def __str__(self) -> str:
        return f"about {self.expected} tokens ({self.low} to {self.high})"


def make_up_of(text: str) -> MakeUp:
    """Return the bytes of the text by script."""
    return _NOTHING_KNOWN.make_up_of(text)


class KnownLines:
    """The make-up of lines that every prompt of a definition repeats, counted only once.

    A text's make-up is the sum of its lines' make-ups, since no match continues past a line end.
    """

    def __init__(self, *texts: str) -> None:
        self._by_line = {line: _count(line) for text in texts for line in text.split("\n")}

    def make_up_of(self, text: str) -> MakeUp:
        """Return the bytes of the text by script, as the function of the same name does."""
        known, others = [], []
        for line in text.split("\n"):
            counted = self._by_line.get(line)
            if counted is None:
                others.append(line)
            else:
                known.append(counted)
        columns = zip(_count("\n".join(others)), *known, strict=True)
        found = dict(zip(_COUNTED, map(sum, columns), strict=True))
        return {**found, TextKind.LATIN: max(0, len(text.encode(errors="replace")) - sum(found.values()))}


_COUNTED = (TextKind.CODE, *_NOT_ASCII)


def _count(text: str) -> tuple[int, ...]:
    """Return the bytes of the text by script in the order of ``_COUNTED``; the rest of the text is Latin."""
    encoded = text.encode(errors="replace")
    code = sum(map(len, _CODED.findall(text))) + len(encoded) - len(encoded.translate(None, _SYMBOLS))
    words = text.split()
    if max(map(len, words), default=0) > _LONGEST_WORD:
        code += sum(len(word) for word in words if len(word) > _LONGEST_WORD and _is_letters(word))
    if text.isascii():
        return code, *(0 for _ in _NOT_ASCII)
    rare = "\n".join([line for line in text.split("\n") if not line.isascii()])
    return code, *(len("".join(stretch.findall(rare)).encode(errors="replace")) for stretch in _NOT_ASCII.values())


def _is_letters(word: str) -> bool:
    return word.isascii() and word.isalpha()


_NOTHING_KNOWN = KnownLines()


class TokenRates:
    """Tokens per byte by model and script, learned from the counts models report. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, _Learned] = {}

    def estimate(self, make_up: MakeUp, *, model: str) -> Estimate:
        """Estimate the tokens of a text from its make-up; for an unknown model, the range covers all vocabularies."""
        with self._lock:
            return self._models.get(model, _Learned()).estimate(make_up)

    def most_tokens(self, model: str) -> Callable[[str], int]:
        """Return a function that gives the most tokens a text may have, by the rates known now.

        What is learned later does not change it, so that one document is measured by the same rates throughout.
        """
        with self._lock:
            rates = self._models.get(model, _Learned()).highest_rates()
        return lambda text: ceil(sum(rates[script] * size for script, size in make_up_of(text).items()))

    def learn(self, make_up: MakeUp, tokens: int, *, model: str) -> None:
        """Learn from the model's count of tokens (``prompt_eval_count``) for a text of this make-up."""
        if tokens > 0 and sum(make_up.values()) > 0:
            with self._lock:
                self._models.setdefault(model, _Learned()).learn(make_up, tokens)


class _Learned:
    """One model's rates. Each count corrects the rates of the text's scripts in proportion to their shares."""

    def __init__(self) -> None:
        self._rates = {script: rate.usual for script, rate in _RATES.items()}
        self._seen: Counter[TextKind] = Counter()
        self._observations = 0
        self._error = 0.0

    def estimate(self, make_up: MakeUp) -> Estimate:
        expected = low = high = 0.0
        for script, size in make_up.items():
            rate = self._rate(script)
            expected += rate.usual * size
            low += rate.low * size
            high += rate.high * size
        return Estimate(expected=ceil(expected), low=ceil(low), high=max(ceil(high), ceil(expected)))

    def highest_rates(self) -> dict[TextKind, float]:
        return {script: self._rate(script).high for script in TextKind}

    def _rate(self, script: TextKind) -> _Rate:
        if self._observations < MIN_OBSERVATIONS or self._seen[script] < MIN_LEARNED_BYTES:
            return _RATES[script]
        spread = exp(2 * max(self._error, _LEAST_ERROR))
        rate = self._rates[script]
        return _Rate(rate / spread, rate, rate * spread)

    def learn(self, make_up: MakeUp, tokens: int) -> None:
        parts = {script: self._rates[script] * size for script, size in make_up.items()}
        expected = sum(parts.values())
        off = log(tokens / expected)
        for script, part in parts.items():
            # One odd count (of a truncated prompt, say) must not push a rate beyond that of any vocabulary.
            learned = self._rates[script] * exp(off * part / expected)
            self._rates[script] = min(max(learned, _RATES[script].low / 2), _RATES[script].high * 1.5)
            self._seen[script] += make_up[script]
        # The first count's error shows how far this model is from typical, not how well its rates are known.
        if self._observations:
            self._error += _WEIGHT_OF_NEWEST * (abs(off) - self._error)
        self._observations += 1


def check_fits(estimate: Estimate, num_ctx: int, *, answer_tokens: int = MIN_ANSWER_TOKENS) -> None:
    """Raise EvidenceTooLarge if even the lowest estimate leaves no space for an answer in ``num_ctx``.

    A prompt that may fit is sent, and the server decides (``truncate: false``).
    """
    if estimate.low + answer_tokens > num_ctx:
        raise EvidenceTooLarge(
            f"the prompt is {estimate}, and with {answer_tokens} for the answer it does not fit the context of "
            f"{num_ctx}: give less evidence, or raise OLLAMA_NUM_CTX"
        )
