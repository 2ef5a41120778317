"""Whether a prompt can fit a model's context window, judged before the model is asked."""

from math import ceil

from derive.errors import EvidenceTooLarge

ASCII_CHARACTERS_PER_TOKEN = 4
OTHER_BYTES_PER_TOKEN = 3
MIN_ANSWER_TOKENS = 256
"""Room for an answer of two or three facts. With less, a prompt that fits could only be answered by a cut answer."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens the text is: never 0 for a text that is not empty.

    Assumption: 4 ASCII characters a token, and 3 bytes of UTF-8 a token for everything else, as the byte-pair
    vocabularies of today's local models come to on running prose (English 4 to 4.5 characters; Cyrillic, Greek and
    Arabic 2 characters or a little less; Chinese and Japanese 1 to 1.5 tokens a character; an emoji 1 to 3). Names,
    code and numbers cost more. It is meant to refuse only what surely does not fit: the server, asked with
    ``truncate: false``, has the last word.
    """
    if text.isascii():
        return ceil(len(text) / ASCII_CHARACTERS_PER_TOKEN)
    ascii_characters = len(text.encode("ascii", "ignore"))
    other_bytes = len(text.encode(errors="replace")) - ascii_characters
    return ceil(ascii_characters / ASCII_CHARACTERS_PER_TOKEN + other_bytes / OTHER_BYTES_PER_TOKEN)


def check_fits(prompt: str, num_ctx: int, *, answer_tokens: int = MIN_ANSWER_TOKENS) -> int:
    """Return the prompt's estimated tokens, or raise EvidenceTooLarge when prompt and answer pass ``num_ctx``."""
    tokens = estimate_tokens(prompt)
    if tokens + answer_tokens > num_ctx:
        raise EvidenceTooLarge(
            f"the prompt is about {tokens} tokens, and with {answer_tokens} for the answer it does not fit the "
            f"context of {num_ctx}: give less evidence, or raise OLLAMA_NUM_CTX"
        )
    return tokens
