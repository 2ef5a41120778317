from enum import StrEnum


class LineFormat(StrEnum):
    """The format of a file of jobs."""

    JSONL = "jsonl"
    CSV = "csv"
