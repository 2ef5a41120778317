"""What a job would ask, before it is queued: its evidence bounded and redacted, its prompt, its tokens."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings

from derive.admin.display.lake_files import lake
from derive.admin.display.untrusted_text import visible
from derive.admin.lists.suggestions import registry
from derive.contracts import EvidenceBundle, JobInput, parse_json
from derive.evidence.bundle import build_bundle
from derive.evidence.redaction import Redactor
from derive.evidence.redaction_file import read_redactor
from derive.evidence.sources import MAX_SOURCE_BYTES, collect_sources
from derive.evidence.tokens import MIN_ANSWER_TOKENS, estimate_tokens
from derive.models import Run
from derive.states import RunStatus

SHOWN_ITEMS = 20
ITEM_CHARACTERS = 4_000


@dataclass(frozen=True)
class Preview:
    """What a worker would make of a job now; its delimiters are drawn anew in each run."""

    bundle: EvidenceBundle
    items: tuple[tuple[str, str, int, str], ...]
    """Id, source, bytes and text of the first items, fit to be shown."""
    prompt: str
    prompt_characters: int
    prompt_tokens: int
    num_ctx: int

    @property
    def room(self) -> int:
        """Tokens left for the answer."""
        return self.num_ctx - self.prompt_tokens

    @property
    def fits(self) -> bool:
        """Whether a worker would ask it."""
        return self.room >= MIN_ANSWER_TOKENS


def preview_job(job: JobInput) -> Preview:
    """Return what a job would ask; raises RunError, LakeError, ConfigurationError as its run would end."""
    interrogation = registry().get(job.interrogation_key)
    job_input: dict[str, Any] = parse_json(job.input_json)
    sources = collect_sources(
        job_input=job_input,
        evidence_ref_json=job.evidence_ref_json,
        read_lake=lambda uri: lake().read(uri, max_bytes=MAX_SOURCE_BYTES),
        read_run_output=_output_of,
    )
    bundle = build_bundle(sources, bounds=interrogation.bounds, redactor=_redactor())
    prompt = interrogation.definition.render(input=job_input, bundle=bundle)
    return Preview(
        bundle=bundle,
        items=tuple(
            (one.evidence_id, one.source_uri or "", len(one.text.encode()), visible(one.text, ITEM_CHARACTERS))
            for one in bundle.items[:SHOWN_ITEMS]
        ),
        prompt=visible(prompt),
        prompt_characters=len(prompt),
        prompt_tokens=estimate_tokens(prompt),
        num_ctx=settings.OLLAMA.num_ctx,
    )


@lru_cache(maxsize=1)
def _redactor() -> Redactor:
    return read_redactor(settings.REDACTION_FILE)


def _output_of(run_id: UUID) -> str:
    rows = Run.objects.filter(run_id=run_id, status=RunStatus.SUCCEEDED).values_list("output_json", flat=True)
    output = rows.first()
    if not output:
        raise LookupError(run_id)
    return str(output)
