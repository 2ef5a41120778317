"""Preview of a job before it is queued: its bounded and redacted evidence, its prompt and its tokens."""

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings

from derive.admin.display.lake_files import lake
from derive.admin.display.untrusted_text import visible
from derive.admin.lists.suggestions import live_registry
from derive.contracts import JobInput
from derive.errors import HolocronError
from derive.evidence.bundle import build_bundle
from derive.evidence.contracts import EvidenceBundle
from derive.evidence.redaction import Redactor
from derive.evidence.redaction_file import read_redactor
from derive.evidence.sources import MAX_SOURCE_BYTES, collect_sources
from derive.evidence.tokens import MIN_ANSWER_TOKENS, Estimate, TokenRates, make_up_of
from derive.models import Run
from derive.states import RunStatus
from derive.strict_types import parse_json
from derive.worker.token_history import counted_prompts, learn_from_prompts, model_key

log = logging.getLogger(__name__)

RATES_KEPT_SECONDS = 300.0
SHOWN_ITEMS = 20
ITEM_CHARACTERS = 4_000


@dataclass(frozen=True)
class Preview:
    """What a worker would send for this job."""

    bundle: EvidenceBundle
    items: tuple[tuple[str, str, int, str], ...]
    """Id, source, bytes and text of the first items, sanitised for display."""
    prompt: str
    prompt_characters: int
    model: str
    tokens: Estimate
    num_ctx: int

    @property
    def room(self) -> int:
        """Tokens expected to be left for the answer."""
        return self.num_ctx - self.tokens.expected

    @property
    def fits(self) -> bool:
        """Whether a worker would send it."""
        return self.tokens.low + MIN_ANSWER_TOKENS <= self.num_ctx

    @property
    def surely_fits(self) -> bool:
        """Whether the server will accept it even at the highest token estimate."""
        return self.tokens.high + MIN_ANSWER_TOKENS <= self.num_ctx


def preview_job(job: JobInput) -> Preview:
    """Build the preview. Raises the RunError, LakeError or ConfigurationError that the run would fail with."""
    interrogation = live_registry().get(job.interrogation_key)
    job_input: dict[str, Any] = parse_json(job.input_json)
    sources = collect_sources(
        job_input=job_input,
        evidence_ref_json=job.evidence_ref_json,
        read_lake=lambda uri: lake().read(uri, max_bytes=MAX_SOURCE_BYTES),
        read_run_output=_output_of,
    )
    bundle = build_bundle(
        sources, bounds=interrogation.bounds, redactor=_redactor(), delimiter_key=settings.DELIMITER_KEY
    )
    prompt = interrogation.definition.render(input=job_input, bundle=bundle)
    model = job.model_hint or settings.OLLAMA.model
    return Preview(
        bundle=bundle,
        items=tuple(
            (one.evidence_id, one.source_uri or "", len(one.text.encode()), visible(one.text, ITEM_CHARACTERS))
            for one in bundle.items[:SHOWN_ITEMS]
        ),
        prompt=visible(prompt),
        prompt_characters=len(prompt),
        model=model,
        tokens=_rates().estimate(make_up_of(prompt), model=model_key(model)),
        num_ctx=settings.OLLAMA.num_ctx,
    )


def _rates() -> TokenRates:
    """Return token rates learned from recent runs, cached for some minutes; generic rates if there are none."""
    return _rates_of(int(time.monotonic() // RATES_KEPT_SECONDS))


@lru_cache(maxsize=1)
def _rates_of(_moment: int) -> TokenRates:
    rates = TokenRates()
    try:
        learn_from_prompts(rates, counted_prompts(), lake())
    except HolocronError as error:
        log.warning("preview.rates_not_learned", extra={"error": str(error)})
    return rates


@lru_cache(maxsize=1)
def _redactor() -> Redactor:
    return read_redactor(settings.REDACTION_FILE)


def _output_of(run_id: UUID) -> str:
    rows = Run.objects.filter(run_id=run_id, status=RunStatus.SUCCEEDED).values_list("output_json", flat=True)
    output = rows.first()
    if not output:
        raise LookupError(run_id)
    return str(output)
