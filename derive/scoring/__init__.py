"""Scores of answers against expected facts, and what can be concluded from them; pure functions."""
