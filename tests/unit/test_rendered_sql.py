"""Scripts that are rendered from a template are committed as rendered."""

from pathlib import Path

import pytest

from tests.rendered_sql import rendered

SCRIPTS = list(rendered())


@pytest.mark.parametrize(("script", "text"), SCRIPTS, ids=[f"{path.parts[-3]}/{path.stem}" for path, _ in SCRIPTS])
def test_a_rendered_script_is_what_its_template_says(script: Path, text: str) -> None:
    assert script.read_text("utf-8") == text, "edit the template in migrations_sql/templates, then run: make sql"


def test_both_engines_render_the_six_procedures_of_operators() -> None:
    names = [path.stem for path, _ in SCRIPTS]
    assert len(names) == 12
    assert names[:6] == names[6:]
