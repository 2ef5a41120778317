"""Sphinx's configuration of the documentation site; ``make docs-site`` builds it from the project's folder."""

project = "Holocron"
copyright = "the Holocron contributors"  # noqa: A001 (Sphinx's name)

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "deploy/**.md", "migrations_sql/*.md"]
exclude_patterns = [".*", "var"]
html_theme = "furo"
html_title = "Holocron"
html_show_sourcelink = False

# Anchors as GitHub makes them, so that a link works there and here.
myst_heading_anchors = 4
# Shell and SQL with placeholders are coloured as far as they can be.
suppress_warnings = ["misc.highlighting_failure"]
