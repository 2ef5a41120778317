from enum import StrEnum


class LineFormat(StrEnum):
    """How a file holds its jobs."""

    JSONL = "jsonl"
    CSV = "csv"
