"""Sealed history: events hashed into a chain, so that later changes, deletions and insertions are detected.

A seal is a document about a batch of events: the hash of each, with those of the job it queued or of the run it ended
and that run's artifacts; and the head of the previous seal. The SHA-256 of the document is the seal's head. The
document is written once to the lake, the head to ``llm.seal``.

``rows`` hashes SQL rows, ``document`` defines the format, ``chain`` seals, ``verification`` verifies.
"""
