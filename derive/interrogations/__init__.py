"""Interrogations: versioned questions, each with a prompt, an output model and a rubric."""
