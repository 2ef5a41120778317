"""Makes standard output and error accept every character, whatever the locale."""

import io
import sys


def make_writable() -> None:
    """Use UTF-8 for files and pipes and the terminal's encoding on terminals, replacing what cannot be encoded.

    Otherwise a name in another script would abort a command half-way, for example under ``LC_ALL=C``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", errors="replace")
