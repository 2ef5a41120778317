"""Which versions of interrogations were promoted."""

from functools import partial
from pathlib import Path

from derive.interrogations.registry import Registry
from derive.models import InterrogationLive
from derive.sql.reading import reading


def promoted_versions() -> dict[str, str]:
    """Return the hash of the promoted definition of each key that has one; raises QueueError."""
    rows = InterrogationLive.objects.filter(definition_sha256__isnull=False)
    return dict(reading(partial(list, rows.values_list("interrogation_key", "definition_sha256"))))


def load_live(folder: Path | None) -> Registry:
    """Load the installed interrogations, with the promoted versions live; raises as ``Registry.load``, QueueError."""
    return Registry.load(folder).with_promoted(promoted_versions())
