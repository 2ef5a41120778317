"""The invalid lines of an upload as CSV that spreadsheets do not execute as formulas."""

import io
from collections.abc import Iterable, Iterator

from derive.admin.display.untrusted_text import cell
from derive.export.forms import csv_writer, without_formula


def as_csv(lines: Iterable[tuple[int, str]]) -> Iterator[bytes]:
    """Yield a header, then each line with its error, in bounded chunks."""
    text = io.StringIO(newline="")
    writer = csv_writer(text)
    writer.writerow(("line", "why"))
    for line, why in lines:
        writer.writerow((line, without_formula(cell(why, 500))))
        if text.tell() > 64 * 1024:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()
