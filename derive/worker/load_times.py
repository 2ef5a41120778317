"""How long models take to load, as measured over all workers."""

from derive.models import LanguageModel
from derive.sql.reading import reading

MOST_MODELS = 1_000


def known_load_seconds() -> dict[str, float]:
    """Return the load time of each model that has been measured; raises QueueError."""
    measured = LanguageModel.objects.filter(load_ms__isnull=False).values_list("model", "load_ms")
    return {model: load_ms / 1000 for model, load_ms in reading(lambda: list(measured[:MOST_MODELS]))}
