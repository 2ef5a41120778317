"""How much text a window may hold, and how much it repeats of the one before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from derive.contracts import Bounds
from derive.errors import EvidenceTooLarge
from derive.evidence.tokens import MIN_ANSWER_TOKENS

TokensOf = Callable[[str], int]
"""Returns the most tokens that a text may have."""

MIN_WINDOW_TOKENS = 128
"""With less, a document would become thousands of windows of a sentence each."""
_LONGEST_QUOTE = 500
_MIN_OVERLAP, _MAX_OVERLAP = 200, 2_000
_ANSWERS_SHARE = 4


@dataclass(frozen=True)
class WindowLimits:
    """Limits of one part: its tokens, and the interrogation's bounds of a run's evidence (bytes of UTF-8, items).

    ``overlap`` is in characters: a passage of at most this length is whole in at least one window, as long as it is
    not longer than half a window.
    """

    tokens: int
    item_bytes: int
    part_bytes: int
    items: int
    overlap: int

    @classmethod
    def of(cls, *, tokens: int, bounds: Bounds, schema: Mapping[str, Any]) -> "WindowLimits":
        """Return the limits for an interrogation with these bounds and this output schema."""
        return cls(
            tokens=tokens,
            item_bytes=min(bounds.max_item_bytes, bounds.max_total_bytes),
            part_bytes=bounds.max_total_bytes,
            items=bounds.max_items,
            overlap=overlap_for(schema),
        )


def evidence_tokens(*, num_ctx: int, num_predict: int, prompt_tokens: int) -> int:
    """Return the tokens that a context leaves for evidence, beside the rest of the prompt and the answer.

    The answer gets ``num_predict``, but at most a quarter of the context. Raises EvidenceTooLarge if there is no
    space for a useful window.
    """
    answer = max(MIN_ANSWER_TOKENS, min(num_predict, num_ctx // _ANSWERS_SHARE))
    left = num_ctx - prompt_tokens - answer
    if left < MIN_WINDOW_TOKENS:
        raise EvidenceTooLarge(
            f"a context of {num_ctx} tokens leaves {max(left, 0)} for evidence beside the prompt ({prompt_tokens}) and "
            f"the answer ({answer}), at least {MIN_WINDOW_TOKENS} are needed: raise OLLAMA_NUM_CTX"
        )
    return left


def overlap_for(schema: Mapping[str, Any]) -> int:
    """Return the overlap, in characters, that keeps any quote the schema allows whole in one window.

    Twice the longest quote: white space may be wider in the text than in a quote.
    """
    return max(_MIN_OVERLAP, min(2 * _longest_quote(schema), _MAX_OVERLAP))


def _longest_quote(schema: Mapping[str, Any]) -> int:
    waiting: list[Any] = [schema]
    lengths = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            properties = node.get("properties")
            quote = properties.get("quote") if isinstance(properties, Mapping) else None
            if isinstance(quote, Mapping) and isinstance(quote.get("maxLength"), int):
                lengths.append(quote["maxLength"])
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return max(lengths, default=_LONGEST_QUOTE)
