"""Links to a fact and to the facts of its entity."""

from typing import Protocol
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse


class _Placed(Protocol):
    @property
    def job_id(self) -> UUID | None: ...
    @property
    def run_id(self) -> UUID | None: ...
    @property
    def fact_index(self) -> int: ...


def fact_address(fact: _Placed) -> str:
    """Return the URL of a fact: its answer beside the evidence, on its job's page."""
    query = urlencode({"run": str(fact.run_id), "fact": fact.fact_index})
    return f"{reverse('admin:derive_job_change', args=[fact.job_id])}?{query}#fact-{fact.fact_index}"


def entity_address(entity_id: str, entity_type: str | None = None, key: str | None = None) -> str:
    """Return the URL of the facts of an entity, or of one of its keys."""
    named = {"entity": entity_id, "entity_type": entity_type, "key": key}
    query = urlencode({name: text for name, text in named.items() if text})
    return f"{reverse('admin:derive_fact_entity')}?{query}"
