"""Standard output and error that take every character, whatever the locale says."""

import io
import sys


def make_writable() -> None:
    """Write UTF-8 into files and pipes, and the terminal's own encoding on a terminal; replace what cannot be written.

    Otherwise one name in another script ends a command half-way, under ``LC_ALL=C`` say.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", errors="replace")
