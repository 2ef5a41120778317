"""Answers as data: what succeeded runs found, written out as rows with their lineage, in the order of run numbers."""
