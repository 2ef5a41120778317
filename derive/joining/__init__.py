"""Joins the answers of a job's parts into one answer, without a model, a database or Django.

``document`` is the list of the parts (``parts.json``), ``rejudging`` judges their answers and joins them, ``merging``
decides which facts are one fact.
"""
