"""The query for held keys is in the words of ``ux_job_dedupe``, without which SQL Server does not use it."""

import re

import pytest

from derive.sql.held_keys import held_keys_sql
from derive.sql.scripts import SCRIPTS_FOLDER
from derive.sql.tables import Engine


@pytest.mark.parametrize("engine", list(Engine))
def test_its_states_are_written_as_in_the_indexs_filter(engine: Engine) -> None:
    script = (SCRIPTS_FOLDER / engine / "tables/0051_split.sql").read_text("utf-8")
    found = re.search(r"INDEX ux_job_dedupe.*?status IN \(([^)]*)\)", script, re.DOTALL)
    assert found is not None
    assert f"status IN ({found[1]})" in held_keys_sql(engine, 2)
