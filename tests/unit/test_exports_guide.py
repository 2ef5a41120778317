"""``docs/exports.md`` tells exactly the columns that there are."""

import re

import pytest

from derive.export.columns import COLUMNS, Rows
from holocron.settings import BASE_DIR


@pytest.mark.parametrize("rows", Rows)
def test_the_guide_describes_every_column(rows: Rows) -> None:
    guide = (BASE_DIR / "docs/exports.md").read_text("utf-8")
    section = Rows.FACTS if rows is Rows.ALL_FACTS else rows
    found = re.search(f"<!-- {section} -->\n(.*?)<!-- /{section} -->", guide, re.DOTALL)
    assert found is not None
    wanted = [f"| `{column.name}` | {column.kind} | {column.meaning} |" for column in COLUMNS[rows]]
    assert found[1].splitlines() == ["| column | holds | |", "|---|---|---|", *wanted]
