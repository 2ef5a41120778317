"""Backups of a PostgreSQL system of record and its lake, and their restoration."""
