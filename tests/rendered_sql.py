"""The procedures that are rendered from templates: ``python -m tests.rendered_sql`` writes them (``make sql``).

What a database runs and a DBA reads is the rendered script, which is committed; a test holds the two equal. Jinja's
inheritance is what several procedures sharing one frame need, and sqlfluff brings it along.
"""

from collections.abc import Iterator
from pathlib import Path

import jinja2

SCRIPTS = Path(__file__).resolve().parents[1] / "migrations_sql"
TEMPLATES = SCRIPTS / "templates"


def rendered() -> Iterator[tuple[Path, str]]:
    """Yield each rendered procedure's path and text."""
    for folder in sorted(TEMPLATES.iterdir()):
        templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,  # noqa: S701 (SQL of our own, no page)
        )
        for path in sorted(folder.glob("usp_*.sql.j2")):
            name = path.name.removesuffix(".sql.j2")
            text = templates.get_template(path.name).render(name=name, has_detail=False)
            yield SCRIPTS / folder.name / "procedures" / f"{name}.sql", text


if __name__ == "__main__":
    for script, text in rendered():
        script.write_text(text, "utf-8")
