"""CSV: every row is there; what a spreadsheet would run as a formula is text, what is a number stays one."""

import csv
import io

import pytest

from derive.export.columns import COLUMNS, Rows
from derive.export.forms import Csv, unarmed


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@x", "\tx", "\rx", "\n=1"])
def test_what_looks_like_a_formula_is_disarmed(cell: str) -> None:
    assert unarmed(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["x", "", "-1", "+1.5", 7, -7, None])
def test_what_does_not_is_left_as_it_is(cell: object) -> None:
    assert unarmed(cell) == cell


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 1_000])
def test_every_row_of_a_batch_is_written_once_and_in_order(count: int) -> None:
    columns = COLUMNS[Rows.FACTS]
    batch = [(number, *(f'{number} "a",\nb' for _ in columns[1:])) for number in range(count)]
    written = csv.reader(io.StringIO(Csv(columns).rows(batch).decode(), newline=""))
    assert list(written) == [list(map(str, row)) for row in batch]
