"""CSV: every row is there; what a spreadsheet would run as a formula is text, what is a number stays one."""

import csv
import io
from datetime import UTC, datetime

import pytest

from derive.admin.jobs.upload.rejected_lines import as_csv
from derive.admin.records.audit import _as_csv as events_as_csv
from derive.export.columns import COLUMNS, Kind, Rows
from derive.export.forms import Csv, without_formula
from derive.models import JobEvent

# What stands in a truth value's cell is true or false, whatever was given.
COLUMNS_OF_TEXT = tuple(column for column in COLUMNS[Rows.FACTS] if column.kind is not Kind.BOOLEAN)


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@x", "\tx", "\rx", "\n=1"])
def test_what_looks_like_a_formula_is_disarmed(cell: str) -> None:
    assert without_formula(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["x", "", "-1", "+1.5", 7, -7, None])
def test_what_does_not_is_left_as_it_is(cell: object) -> None:
    assert without_formula(cell) == cell


@pytest.mark.parametrize("text", ["a;=1+1", "a\t=1+1", "a;b", "plain", ""])
def test_every_text_is_quoted_so_that_no_other_separator_splits_it(text: str) -> None:
    columns = COLUMNS_OF_TEXT
    texts = tuple(text for _column in columns[1:])
    written = Csv(columns).rows([(7, *texts)]).decode()
    assert written == "7" + "".join(f',"{one}"' for one in texts) + "\r\n"


def test_the_other_csv_files_quote_every_text_too() -> None:
    assert b"".join(as_csv([(7, "a;=1+1")])).splitlines()[1] == b'7,"a;=1+1"'
    event = JobEvent(event_seq=7, at_utc=datetime(2026, 1, 1, tzinfo=UTC), reason="a;=1+1")
    assert ',"a;=1+1",' in "".join(events_as_csv([event]))


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 1_000])
def test_every_row_of_a_batch_is_written_once_and_in_order(count: int) -> None:
    columns = COLUMNS_OF_TEXT
    batch = [(number, *(f'{number} "a",\nb' for _ in columns[1:])) for number in range(count)]
    written = csv.reader(io.StringIO(Csv(columns).rows(batch).decode(), newline=""))
    assert list(written) == [list(map(str, row)) for row in batch]
