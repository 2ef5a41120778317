"""A Django database backend: django's PostgreSQL, whose server is started at the first connection."""
