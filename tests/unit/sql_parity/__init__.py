"""Both engines' catalogues in one form: SQL Server's from its parsed scripts, PostgreSQL's from a live database."""
