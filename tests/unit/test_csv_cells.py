"""Cells of CSV: what a spreadsheet would run as a formula is text, what is a number stays one."""

import pytest

from derive.export.forms import unarmed


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@x", "\tx", "\rx", "\n=1"])
def test_what_looks_like_a_formula_is_disarmed(cell: str) -> None:
    assert unarmed(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["x", "", "-1", "+1.5", 7, -7, None])
def test_what_does_not_is_left_as_it_is(cell: object) -> None:
    assert unarmed(cell) == cell
