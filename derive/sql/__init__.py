"""Database access: table names, scripts, sessions, and calls of the stored procedures."""
