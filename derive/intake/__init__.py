"""Intake: many jobs from a file, all checked before the first is queued.

``records`` (lines of JSONL or CSV, bounded) → ``checking`` (a record to a job that its interrogation accepts) →
``spool`` (checked jobs on disk) → ``importing`` (the two passes). Commands and admin share it.
"""
