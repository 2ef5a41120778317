"""Sealed history: the events hashed into a chain, so that what was changed, removed or put in afterwards is found.

A seal is a document of a batch of events: each one's own hash, with that of the job it queued, of the run it ended and
of that run's artifacts; and the head of the seal before. The SHA-256 of its bytes is its head. The document is written
once into the lake, the head into ``llm.seal``.

``rows`` hashes what SQL holds, ``document`` is a seal's form, ``chain`` seals, ``verification`` verifies.
"""
