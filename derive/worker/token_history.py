"""Token rates from recent runs: what models counted for the prompts stored in the lake."""

from collections.abc import Iterable
from dataclasses import dataclass

from derive.errors import LakeError, RunError
from derive.evidence.tokens import TokenRates, make_up_of
from derive.lake import Lake
from derive.model_servers.models import split_model
from derive.models import Artifact, Run
from derive.sql.reading import reading

RUNS_READ = 20
RUNS_LOOKED_AT = 200
MAX_PROMPT_BYTES = 256 * 1024


def model_key(model: str) -> str:
    """Return one name for a model, with or without its tag."""
    name, tag = split_model(model)
    return f"{name}:{tag}"


@dataclass(frozen=True)
class CountedPrompt:
    """A prompt in the lake, and how many tokens the model counted in it."""

    lake_uri: str
    model: str
    tokens: int


def counted_prompts() -> list[CountedPrompt]:
    """Return the prompts of the newest runs that were counted, oldest first; raises QueueError."""
    columns = ("run_id", "model_name", "model_tag", "prompt_tokens")
    rows = reading(lambda: list(Run.objects.order_by("-run_seq").values_list(*columns)[:RUNS_LOOKED_AT]))
    counted = {
        run_id: (model_key(f"{name}:{tag}" if tag else name), tokens) for run_id, name, tag, tokens in rows if tokens
    }
    newest = list(counted)[:RUNS_READ]
    prompts = Artifact.objects.filter(run_id__in=newest, artifact_type="prompt_text").order_by("artifact_seq")
    uris = reading(lambda: list(prompts.values_list("run_id", "lake_uri")))
    return [CountedPrompt(uri, *counted[run_id]) for run_id, uri in uris]


def learn_from_prompts(rates: TokenRates, prompts: Iterable[CountedPrompt], lake: Lake) -> int:
    """Train the rates with these prompts and return how many; unreadable ones are skipped."""
    learned = 0
    for one in prompts:
        try:
            text = lake.read(one.lake_uri, max_bytes=MAX_PROMPT_BYTES).decode(errors="replace")
        except (LakeError, RunError):
            continue
        rates.learn(make_up_of(text), one.tokens, model=one.model)
        learned += 1
    return learned
