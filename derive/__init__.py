"""Holocron's one Django app: interrogations queued in SQL, answered by a local model, kept in a lake."""
