"""Interrogations: versioned questions, each with its prompt, its output model and its rubric."""
