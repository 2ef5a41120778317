"""Deliveries: answers in use, written into tables of the user's own.

``targets`` looks at a table, ``statements`` promises its SQL, which ``postgresql`` and ``sqlserver`` make;
``values`` reads what goes into the columns, ``delivering`` takes from the outbox and writes, ``outbox`` counts.
"""
