"""Runs that a real worker made against the fake Ollama, and ways to damage what they left."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.db import connection

from derive.contracts import JobInput
from derive.interrogations.registry import Registry
from derive.lake import Lake
from derive.model_servers.settings import ModelSettings, Protocol
from derive.models import Artifact, Interrogation, Job, Run
from derive.queue import JobQueue
from derive.verify.checkers import Checkers
from derive.verify.checking import RunChecker
from derive.verify.findings import Finding, Orphan
from derive.verify.reading import RunSelection
from derive.verify.verification import Verification
from derive.worker.options import WorkerOptions, started_now
from derive.worker.start import run_worker
from tests.fake_ollama import Behaviour, FakeOllama, behaviours

TEXT = "Tala Venn was born on Corvessa and took command of the frigate Patient Lantern."
QUOTE = "Tala Venn was born on Corvessa"
KEY = "sw_entity_facts_v1"

Found = tuple[UUID, str, str]
"""What a test expects of a finding: run, file, check."""


def facts_answer(quote: str = QUOTE, *, value: str = "Corvessa") -> str:
    fact = {"fact_key": "homeworld", "value": value, "confidence": 95, "evidence_ids": ["e1"], "quote": quote}
    return json.dumps({"facts": [fact]})


@dataclass
class Scene:
    """A lake, a fake Ollama and an empty queue."""

    root: Path
    fake: FakeOllama
    protocol: Protocol = Protocol.OLLAMA
    lake: Lake = field(init=False)

    def __post_init__(self) -> None:
        self.lake = Lake.open(str(self.root))

    def work(self, *scripted: Behaviour, runs: int | None = None, **job: Any) -> list[Any]:
        """Queue a job, let a worker make its runs against the scripted answers, and return them in order."""
        self.fake.next(*scripted)
        evidence = [{"evidence_id": "e1", "source_uri": "urn:test:1", "text": TEXT}]
        given = {"entity_type": "character", "entity_id": "tala", "source_refs": []}
        values = {"interrogation_key": KEY, "input_json": json.dumps(given | {"extra_params": {"evidence": evidence}})}
        job_id = JobQueue().enqueue(JobInput(**(values | job)), actor="test").job_id
        run_worker(
            WorkerOptions(
                worker_id=f"test-{uuid4()}",
                host="test",
                pid=1,
                version="0",
                max_jobs=runs or max(1, len(scripted)),
                started_utc=started_now(),
            ),
            ollama=ModelSettings(base_url=self.fake.url, model="llama3.2", protocol=self.protocol),
            lake_url=str(self.root),
            delimiter_key=b"key",
            interrogations_folder=None,
        )
        return list(Run.objects.filter(job_id=job_id).order_by("attempt"))

    def succeeded(self) -> Any:
        """Return a run that succeeded at once."""
        (run,) = self.work(behaviours.answer(facts_answer()))
        assert run.status == "SUCCEEDED", (run.error_kind, run.error)
        return run

    def corrected(self) -> tuple[Any, Any]:
        """Return a run whose answer was no good, and the one that was told so and succeeded."""
        before, after = self.work(behaviours.answer(facts_answer("not there")), behaviours.answer(facts_answer()))
        assert (before.error_kind, after.status) == ("ungrounded_output", "SUCCEEDED")
        return before, after

    def folder(self, run: Any) -> Path:
        return self.root / Lake.run_folder(run.started_utc, run.run_id)

    def file(self, run: Any, name: str) -> Path:
        return self.folder(run) / name

    def verify(self, *, quick: bool = False, **selection: Any) -> list[Finding | Orphan]:
        checker = RunChecker.of(self.lake, Registry.load(None), quick=quick)
        with Checkers.in_threads(checker) as checkers:
            return list(Verification(self.lake, checkers, selection=RunSelection(**selection)).found())

    def findings(self, *, quick: bool = False) -> list[Found]:
        """Return what a verification of everything finds; orphans must be none."""
        found = self.verify(quick=quick)
        assert not [one for one in found if isinstance(one, Orphan)]
        return [(one.run_id, one.file, one.check.value) for one in found if isinstance(one, Finding)]

    def verify_in_processes(self) -> list[Finding | Orphan]:
        with Checkers.in_processes(str(self.root), None, quick=False, processes=2) as checkers:
            return list(Verification(self.lake, checkers, selection=RunSelection()).found())


def flip_byte(path: Path, place: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    path.write_bytes(data)


def execute(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def delete_run(run: Any) -> None:
    for table in ("fact_review", "fact", "fact_set", "artifact", "run"):
        execute(f"DELETE FROM llm.{table} WHERE run_id = %s", run.run_id)


def change_run(run: Any, **values: Any) -> None:
    _change("llm.run", "run_id", run.run_id, values)


def change_job(run: Any, **values: Any) -> None:
    _change("llm.job", "job_id", run.job_id, values)


def change_artifact(run: Any, of_type: str, **values: Any) -> None:
    found = Artifact.objects.get(run_id=run.run_id, artifact_type=of_type)
    _change("llm.artifact", "artifact_id", found.artifact_id, values)


def delete_artifact_rows(run: Any, *artifact_types: str) -> None:
    for row in Artifact.objects.filter(run_id=run.run_id):
        if not artifact_types or row.artifact_type in artifact_types:
            execute("DELETE FROM llm.artifact WHERE artifact_id = %s", row.artifact_id)


def change_definition(**values: Any) -> None:
    stored = Interrogation.objects.get(interrogation_key=KEY)
    _change("llm.interrogation", "definition_sha256", stored.definition_sha256, values)


def _change(table: str, key: str, value: Any, values: Mapping[str, Any]) -> None:
    settings = ", ".join(f"{name} = %s" for name in values)
    execute(f"UPDATE {table} SET {settings} WHERE {key} = %s", *values.values(), value)


def forge(scene: Scene, run: Any, name: str, change: Callable[[bytes], bytes], **manifest_facts: Any) -> None:
    """Change a file, and its size and hash wherever they are recorded, as who can write everywhere would."""
    path = scene.file(run, name)
    path.write_bytes(change(path.read_bytes()))
    record(scene, run, path)
    manifest_path = scene.file(run, "manifest.json")
    manifest = json.loads(manifest_path.read_bytes())
    for file in manifest["files"]:
        if file["name"] == name:
            file["content_sha256"] = _sha256(path)
            file["byte_count"] = path.stat().st_size
    manifest_path.write_text(json.dumps(manifest | manifest_facts))
    record(scene, run, manifest_path)


def record(scene: Scene, run: Any, path: Path) -> None:
    uri = str(path.relative_to(scene.root))
    found = Artifact.objects.get(run_id=run.run_id, lake_uri=uri)
    values = {"content_sha256": _sha256(path), "byte_count": path.stat().st_size}
    _change("llm.artifact", "artifact_id", found.artifact_id, values)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def job_of(run: Any) -> Any:
    return Job.objects.get(job_id=run.job_id)
