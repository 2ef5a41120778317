"""``docs/reference.md`` is what the code says; ``make docs`` writes it."""

import os

import pytest
from django.db import connection

from holocron.settings import BASE_DIR
from tests.reference.pages import reference
from tests.unit.sql_parity import postgresql

PAGE = BASE_DIR / "docs/reference.md"


def test_the_reference_matches_the_code(db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("the reference is made from PostgreSQL's live catalogue; DATABASE_URL names another engine")
    text = reference(postgresql.read_catalogue(), postgresql.view_columns())
    if os.environ.get("WRITE_REFERENCE"):
        PAGE.write_text(text, "utf-8")
    assert PAGE.read_text("utf-8") == text, "docs/reference.md is stale: make docs"
