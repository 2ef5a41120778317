"""Suggestions for filters: bounded reads, never a DISTINCT over a growing table."""

from functools import lru_cache

from django.conf import settings

from derive.interrogations.live_registry import LiveRegistry
from derive.interrogations.registry import Registry
from derive.live_versions import promoted_versions
from derive.models import Interrogation, Run

RECENT_RUNS = 500
MOST = 200


def registry() -> Registry:
    """Return the interrogations installed here, as their files are now (a change shows within seconds)."""
    live = _live_registry()
    live.refresh()
    return live.current


def live_registry() -> Registry:
    """Return the same with the promoted versions live, as workers use them; one statement."""
    return registry().with_promoted(promoted_versions())


@lru_cache(maxsize=1)
def _live_registry() -> LiveRegistry:
    return LiveRegistry(settings.INTERROGATIONS_FOLDER)


def interrogation_keys() -> list[str]:
    """Return the keys of all installed or registered interrogations."""
    recorded = Interrogation.objects.values_list("interrogation_key", flat=True).order_by("interrogation_key")[:MOST]
    return sorted({*recorded, *(one.key for one in registry().all())})


def model_names() -> list[str]:
    """Return the models of recent runs, and the configured one."""
    recent = Run.objects.order_by("-run_seq").values_list("model_name", flat=True)[:RECENT_RUNS]
    return sorted({name for name in recent if name} | {settings.OLLAMA.model})
