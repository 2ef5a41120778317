"""A stream of single tokens in fewer lines, so that it is put together again in a fraction of the time."""

import re

_MAX_JOINED_BYTES = 1024 * 1024
"""Below the longest line that an answer may hold."""

_TEXT = rb'"[^"\\\x00-\x1f]*"'
_PLAIN_LINE = re.compile(
    rb'\{"model": ?' + _TEXT + rb', ?"created_at": ?' + _TEXT + rb', ?"message": ?'
    rb'\{"role": ?"assistant", ?"content": ?"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"\}, ?'
    rb'"done": ?false\}\n'
)
"""What Ollama sends for each token, with or without blanks between members, and nothing more."""
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")


def squeeze(stream: bytes) -> bytes:
    """Return a stream that gives the same answer in fewer lines; the stream itself where that is not certain.

    The plain lines at its beginning become one. Model and time of a line that does not end the answer are not kept
    by ``AnswerAssembler`` either.
    """
    pieces: list[bytes] = []
    end = 0
    while line := _PLAIN_LINE.match(stream, end):
        if line.end() - end > _MAX_JOINED_BYTES:
            return stream
        pieces.append(line[1])
        end = line.end()
    joined = b"".join(pieces)
    # Two halves of a surrogate pair in two lines are no character; joined they would be one.
    if len(pieces) < 2 or len(joined) > _MAX_JOINED_BYTES or _HALF_PAIR.search(joined):
        return stream
    try:
        stream[:end].decode()
    except UnicodeDecodeError:
        # Also outside the pieces, and with a character's halves in two lines: what is squeezed would be cleaner.
        return stream
    return b'{"message":{"content":"' + joined + b'"},"done":false}\n' + stream[end:]
