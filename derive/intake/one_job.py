"""One job from typed options: the envelope with its evidence, or an input given as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derive.intake.checking import RecordRefused

DEFAULT_INTERROGATION = "sw_entity_facts_v1"
MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class TypedJob:
    """The options of one job. ``input_json`` excludes evidence: it holds its own. Times are ISO 8601 with an offset."""

    interrogation: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    evidence: Sequence[str] = ()
    evidence_files: Sequence[Path] = ()
    priority: int | None = None
    model: str | None = None
    max_attempts: int | None = None
    available: str | None = None
    dedupe_key: str | None = None
    input_json: str | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the options as a record; raise RecordRefused if they contradict each other."""
        if self.input_json is not None and (self.evidence or self.evidence_files):
            raise RecordRefused("--input-json holds its own evidence: give either it or --evidence and --evidence-file")
        return {
            "interrogation_key": self.interrogation or DEFAULT_INTERROGATION,
            "entity_type": self.entity_type,
            "entity_id": self.entity_id,
            "input": self._envelope() if self.input_json is None else self.input_json,
            "priority": self.priority,
            "model_hint": self.model,
            "max_attempts": self.max_attempts,
            "available_utc": self.available,
            "dedupe_key": self.dedupe_key,
        }

    def _envelope(self) -> dict[str, Any]:
        if not self.entity_type or not self.entity_id:
            raise RecordRefused("a job needs --entity-type and --entity-id, or --input-json")
        return {
            "entity_type": self.entity_type,
            "entity_id": self.entity_id,
            "source_refs": [],
            "extra_params": {"evidence": list(self._evidence())},
        }

    def _evidence(self) -> Iterator[dict[str, str]]:
        for number, text in enumerate(self.evidence, start=1):
            yield {"evidence_id": f"evidence-{number}", "text": text}
        for number, path in enumerate(self.evidence_files, start=1):
            yield {"evidence_id": f"file-{number}", "source_uri": f"file:{path.name}", "text": _read(path)}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RecordRefused(f"the evidence file {path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise RecordRefused(f"the evidence file {path} is longer than {MAX_FILE_BYTES} bytes: split it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordRefused(f"the evidence file {path} is not UTF-8 text (byte {error.start + 1})") from error
