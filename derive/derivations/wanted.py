"""What a derivation wants now: definition and model, the fingerprint of evidence, and the job that asks."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID, uuid5

from django.conf import settings
from pydantic_core import to_json

from derive.contracts import JobInput
from derive.derivation_contracts import Declaration
from derive.errors import ConfigurationError, RunError
from derive.evidence.bundle import build_bundle
from derive.evidence.redaction import Redactor
from derive.evidence.redaction_file import read_redactor
from derive.evidence.references import EvidenceRef, EvidenceRefs
from derive.evidence.sources import MAX_SOURCE_BYTES, referred_sources
from derive.interrogations.loaded_interrogation import LoadedInterrogation
from derive.interrogations.registry import Registry
from derive.lake import Lake
from derive.live_versions import load_live
from derive.models import Run
from derive.sources.contract import SourceSubject
from derive.sql.reading import reading

JOBS = UUID("9d0e1c1e-6a3a-5a8e-9a64-3f2f6f1b7c55")
"""The name space of derived job ids; changing it would derive everything again."""
_MAX_TOKEN_CHARACTERS = 300
_VIEW_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Asked:
    """A subject's evidence as its job is to carry it. ``characters`` is what the job's size is told by."""

    evidence_ref_json: str = field(repr=False)
    evidence_sha256: str
    characters: int


@dataclass(frozen=True)
class Wanted:
    """What one derivation wants now. ``view`` changes with what is shown of unchanged evidence: bounds, redaction."""

    key: str
    declaration: Declaration
    interrogation: LoadedInterrogation
    registry: Registry
    redactor: Redactor
    lake: Lake
    model: str
    view: str

    @classmethod
    def of(cls, key: str, declaration: Declaration) -> "Wanted":
        """Return what is wanted; raise ConfigurationError or UnknownInterrogation if it cannot be had."""
        registry = load_live(settings.INTERROGATIONS_FOLDER)
        interrogation = registry.get(declaration.interrogation)
        if declaration.version not in {None, interrogation.version}:
            raise ConfigurationError(
                f"{key} is pinned to {declaration.interrogation} {declaration.version}, but workers use "
                f"{interrogation.version}: pin that, or leave version out"
            )
        redactor = read_redactor(settings.REDACTION_FILE)
        patterns = [(one.name, one.regex, one.written_instead) for one in redactor.patterns]
        shown = json.dumps([interrogation.bounds.model_dump(mode="json"), patterns])
        return cls(
            key=key,
            declaration=declaration,
            interrogation=interrogation,
            registry=registry,
            redactor=redactor,
            lake=Lake.open(settings.LAKE_URL),
            model=declaration.model or settings.OLLAMA.model,
            view=hashlib.sha256(shown.encode()).hexdigest()[:_VIEW_DIGITS],
        )

    @property
    def definition_sha256(self) -> str:
        """The definition that answers are to have."""
        return self.interrogation.definition.definition_sha256

    def token(self, source_token: str) -> str:
        """Return the change token that is kept: it also changes with ``view``."""
        if len(source_token) > _MAX_TOKEN_CHARACTERS:
            source_token = hashlib.sha256(source_token.encode()).hexdigest()
        return f"{self.view}:{source_token}"

    def token_of_text(self, items: tuple[EvidenceRef, ...]) -> str:
        """Return the token of a subject whose source has none: a hash of its text, without redacting it."""
        return self.token(hashlib.sha256(to_json(items)).hexdigest())

    def ask(self, subject: SourceSubject, items: tuple[EvidenceRef, ...]) -> Asked:
        """Return a subject's evidence with its fingerprint: the hash of what the model is shown.

        Raises InvalidInput, EvidenceMissing, LakeUnavailable.
        """
        texts = referred_sources(
            items,
            read_lake=partial(self.lake.read, max_bytes=MAX_SOURCE_BYTES + 1),
            read_run_output=_output_of,
        )
        bundle = build_bundle(texts, bounds=self.interrogation.bounds, redactor=self.redactor, delimiter_key=b"")
        refs = EvidenceRefs.model_construct(items=items).model_dump_json(exclude_none=True)
        return Asked(refs, bundle.sha256, len(refs) + len(self._input_json(subject)))

    def job_id(self, subject: SourceSubject, *, evidence_sha256: str, asks: int) -> UUID:
        """Return the id of the job that derives a subject from this evidence: the same whoever asks, and when."""
        named = [
            self.key,
            subject.entity_type,
            subject.entity_id,
            evidence_sha256,
            self.definition_sha256,
            self.model,
            asks,
        ]
        return uuid5(JOBS, json.dumps(named))

    def job(self, subject: SourceSubject, asked: Asked, *, job_id: UUID, available_utc: datetime | None) -> JobInput:
        """Return the job that asks; raise InvalidInput if the interrogation does not take such a subject."""
        job = JobInput(
            interrogation_key=self.interrogation.key,
            input_json=self._input_json(subject),
            evidence_ref_json=asked.evidence_ref_json,
            priority=self.declaration.priority,
            model_hint=self.declaration.model,
            max_attempts=self.declaration.max_attempts,
            available_utc=available_utc,
            entity_type=subject.entity_type,
            entity_id=subject.entity_id,
            job_id=job_id,
        )
        self.registry.check(job)
        return job

    def _input_json(self, subject: SourceSubject) -> str:
        envelope = {"entity_type": subject.entity_type, "entity_id": subject.entity_id, "source_refs": []}
        return json.dumps({**envelope, "extra_params": {}}, ensure_ascii=False)


def _output_of(run_id: UUID) -> str:
    output = reading(lambda: Run.objects.filter(run_id=run_id).values_list("output_json", flat=True).first())
    if output is None:
        raise LookupError(run_id)
    return str(output)


Refused = RunError
"""What ``ask`` and ``job`` raise for a subject that cannot be asked about."""
