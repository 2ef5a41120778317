"""Exports: answers of succeeded runs, or their facts, as rows with their lineage, ordered by run number."""
