"""Holocron's only Django app: interrogations queued in SQL, answered by a local model, stored in a lake."""
