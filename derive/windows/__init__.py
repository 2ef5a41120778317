"""Windows: the parts of a long text that a model reads one at a time.

``cutting`` cuts a bundle's items into windows, ``budget`` says how much text a window may hold, and ``part_evidence``
builds the evidence of one part. Needs no model, database or Django.
"""
