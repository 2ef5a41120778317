"""Variants: which version of an interrogation is asked, by which model, with which options."""

import re
from typing import Any
from urllib.parse import parse_qsl

from pydantic import Field, ValidationError

from derive.evidence.references import Trial, problems_in_words
from derive.experiments.refused import ExperimentRefused
from derive.interrogations.registry import Registry
from derive.models import Interrogation
from derive.sql.reading import reading
from derive.strict_types import Frozen, Key200, Sha256

LIVE = "live"
_SPEC = re.compile(r"(?P<key>[^@?]+)@(?P<version>[^/?@]+)(?:/(?P<model>[^?]+))?(?:\?(?P<options>.*))?")
_OPTIONS = ("temperature", "seed", "num_ctx", "num_predict")


class Variant(Frozen):
    """One variant of an experiment, as it is stored: an exact definition, a model (None: the workers') and options.

    ``name`` is how it was given; of the live version ``live``.
    """

    name: str
    interrogation_key: Key200
    version: Key200
    definition_sha256: Sha256
    model: Key200 | None = None
    options: dict[str, float] = Field(default_factory=dict)
    is_live: bool = False

    def trial(self, repeat: int) -> Trial:
        """Return what a job's references say of how it is asked."""
        return Trial(definition_sha256=self.definition_sha256, repeat=repeat, **self.options)


def read_variant(text: str, registry: Registry) -> Variant:
    """Return the variant that ``KEY@VERSION[/MODEL][?temperature=…]`` names; raises ExperimentRefused, QueueError."""
    found = _SPEC.fullmatch(text)
    if found is None:
        raise ExperimentRefused(f"{text[:200]!r} is not a variant: write KEY@VERSION[/MODEL][?temperature=0.7&seed=1]")
    key, version = found["key"], found["version"]
    try:
        return Variant(
            name=text,
            interrogation_key=key,
            version=version,
            definition_sha256=_definition_of(key, version, registry),
            model=found["model"],
            options=_options(text, found["options"] or ""),
        )
    except ValidationError as error:
        raise ExperimentRefused(f"{text[:200]!r}: {problems_in_words(error)}") from None


def live_variant(key: str, registry: Registry) -> Variant:
    """Return the version that jobs of an interrogation get now; raises ConfigurationError, UnknownInterrogation."""
    live = registry.get(key)
    return Variant(
        name=LIVE,
        interrogation_key=key,
        version=live.version,
        definition_sha256=live.definition.definition_sha256,
        is_live=True,
    )


def _definition_of(key: str, version: str, registry: Registry) -> str:
    """Return the hash of an installed version, or of one that was registered before."""
    for one in registry.all():
        if (one.key, one.version) == (key, version):
            return one.definition.definition_sha256
    stored = Interrogation.objects.filter(interrogation_key=key, version=version)
    sha256 = reading(lambda: stored.values_list("definition_sha256", flat=True).first())
    if sha256 is not None:
        return str(sha256)
    known = known_versions(key, registry)
    hint = f"known versions: {', '.join(known)}" if known else "there is no such interrogation"
    raise ExperimentRefused(f"there is no {key}@{version} ({hint})")


def known_versions(key: str, registry: Registry) -> list[str]:
    """Return the versions of an interrogation that are installed here, and up to 50 that were registered before."""
    stored = Interrogation.objects.filter(interrogation_key=key).values_list("version", flat=True)
    return sorted({*reading(lambda: list(stored[:50])), *(one.version for one in registry.all() if one.key == key)})


def _options(text: str, query: str) -> dict[str, float]:
    options: dict[str, float] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        for name, value in pairs:
            if name not in _OPTIONS or name in options:
                raise ExperimentRefused(
                    f"{text[:200]!r}: {name[:40]!r} is given twice or is not one of {', '.join(_OPTIONS)}"
                )
            options[name] = float(value) if name == "temperature" else int(value)
        Trial(definition_sha256="0" * 64, **dict[str, Any](options))
    except ValidationError as error:
        raise ExperimentRefused(f"{text[:200]!r}: {problems_in_words(error)}") from None
    except ValueError:
        raise ExperimentRefused(f"{text[:200]!r}: the options are not numbers: {query[:80]!r}") from None
    return options
