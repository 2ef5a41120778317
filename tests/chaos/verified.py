"""What ``manage.py verify_runs --json`` said."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Verified:
    findings: tuple[tuple[UUID, str], ...]
    orphans: frozenset[UUID]
    runs: int
    files: int

    @classmethod
    def read(cls, lines: Iterable[str]) -> "Verified":
        said = [json.loads(line) for line in lines]
        (summary,) = [one for one in said if one["kind"] == "summary"]
        return cls(
            findings=tuple(
                (UUID(one["run_id"]), f"{one['run_id']} {one['file']} {one['check']}: {one['what']}")
                for one in said
                if one["kind"] == "finding"
            ),
            orphans=frozenset(UUID(one["run_id"]) for one in said if one["kind"] == "orphan"),
            runs=summary["runs"],
            files=summary["files"],
        )
