"""Evidence: its sources, its redaction, and the bounded bundle that a model sees."""
