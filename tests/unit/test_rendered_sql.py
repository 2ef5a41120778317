"""Scripts that are rendered from a template are committed as rendered."""

from pathlib import Path

import pytest

from tests.rendered_sql import rendered

SCRIPTS = list(rendered())


@pytest.mark.parametrize(("script", "text"), SCRIPTS, ids=[f"{path.parts[-3]}/{path.stem}" for path, _ in SCRIPTS])
def test_a_rendered_script_equals_its_templates_output(script: Path, text: str) -> None:
    assert script.read_text("utf-8") == text, "edit the template in migrations_sql/templates, then run: make sql"


def test_both_engines_render_the_six_procedures_of_operators() -> None:
    rendered_for = {
        engine: {path.stem for path, _ in SCRIPTS if path.parts[-3] == engine} for engine in ("postgresql", "sqlserver")
    }
    assert len(rendered_for["postgresql"]) == 6
    # The others on SQL Server share the rules of what may be queued; on PostgreSQL the one calls the other.
    assert rendered_for["sqlserver"] - rendered_for["postgresql"] == {"usp_enqueue_job", "usp_enqueue_jobs"}
