"""A stream of single tokens in fewer lines, so that it is put together again in a fraction of the time."""

import re

_MAX_JOINED_BYTES = 1024 * 1024
"""Below the longest line that an answer may hold."""

_PLAIN = rb'[^"\\\x00-\x1f]*+'
_TEXT = rb'"' + _PLAIN + rb'"'
_PIECE = _PLAIN + rb'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})' + _PLAIN + rb")*+"
_PLAIN_LINE = re.compile(
    rb'(\{"model": ?' + _TEXT + rb', ?"created_at": ?' + _TEXT + rb', ?"message": ?'
    rb'\{"role": ?"assistant", ?"content": ?"(' + _PIECE + rb')"\}, ?'
    rb'"done": ?false\}\n)'
)
"""What Ollama sends for each token, with or without blanks between members, and nothing more."""


def compact(stream: bytes) -> bytes:
    """Return a stream that gives the same answer in fewer lines; the stream itself where that is not certain.

    The plain lines at its beginning become one. Model and time of a line that does not end the answer are not kept
    by ``NdjsonAssembler`` either.
    """
    # All at once: a call for each line costs more than the line. What lies between two of them shows below.
    lines = _PLAIN_LINE.findall(stream)
    if len(lines) < 2:
        return stream
    whole, pieces = zip(*lines, strict=True)
    if max(map(len, whole)) > _MAX_JOINED_BYTES:
        return stream
    beginning, joined = b"".join(whole), b"".join(pieces)
    if not stream.startswith(beginning) or len(joined) > _MAX_JOINED_BYTES:
        return stream
    end = len(beginning)
    try:
        beginning.decode()
    except UnicodeDecodeError:
        # Also outside the pieces, and with a character's halves in two lines: what is compacted would be cleaner.
        return stream
    return b'{"message":{"content":"' + joined + b'"},"done":false}\n' + stream[end:]
