"""Experiments: variants of a question, asked about a golden set, scored and compared with the live version."""
