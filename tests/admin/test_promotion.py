"""Promoting a version in the admin: who may, what it says, and that the pages then use it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from derive.admin.lists import suggestions
from derive.interrogations.loaded_interrogation import LoadedInterrogation
from derive.interrogations.registry import Registry
from derive.models import InterrogationEvent
from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.unit.test_interrogation_registry import OUTPUT, package


@pytest.fixture
def versions(queue: JobQueue, tmp_path: Path, settings: LazySettings) -> Iterator[dict[str, LoadedInterrogation]]:
    """Two installed and registered versions of one interrogation."""
    for version in ("1.0.0", "1.1.0"):
        package(tmp_path, f"mood@{version}", output_py=OUTPUT.replace("1.0.0", version))
    settings.INTERROGATIONS_FOLDER = tmp_path
    suggestions._live_registry.cache_clear()
    found = {one.version: one for one in Registry.load(tmp_path).all() if one.key == "mood"}
    for one in found.values():
        definition = one.definition
        queue.register(
            definition_sha256=definition.definition_sha256,
            interrogation_key=definition.interrogation_key,
            version=definition.version,
            prompt_template=definition.prompt_template,
            output_schema_json=definition.output_schema_json,
            rubric=definition.rubric,
        )
    yield found
    suggestions._live_registry.cache_clear()


def page_of(client: Client, one: LoadedInterrogation) -> str:
    address = reverse("admin:derive_interrogation_change", args=[one.definition.definition_sha256])
    return " ".join(client.get(address).text.split())


def act(client: Client, one: LoadedInterrogation, action: str, reason: str = "better on heights") -> Any:
    address = reverse("admin:derive_interrogation_promote", args=[one.definition.definition_sha256])
    return client.post(address, {"action": action, "reason": reason}, follow=True)


def test_a_maintainer_promotes_a_version_and_rolls_back(
    browse: Browse, versions: dict[str, LoadedInterrogation]
) -> None:
    client, old, new = browse("maintainer"), versions["1.0.0"], versions["1.1.0"]
    assert "Jobs of this interrogation get this version: it is the highest installed one" in page_of(client, new)
    assert "get version <b><bdi>1.1.0</bdi></b>, the highest installed one" in page_of(client, old)
    assert "mood 1.0.0 is live now" in act(client, old, "promote").text
    assert "Jobs of this interrogation get this version." in page_of(client, old)
    assert suggestions.live_registry().get("mood").version == "1.0.0"
    act(client, new, "promote")
    assert "Jobs of this interrogation get this version." in page_of(client, new)
    assert "mood 1.0.0 is live now" in act(client, new, "roll_back", reason="refuses <too> much").text
    page = page_of(client, old)
    assert "rolled back to <b>1.0.0</b>" in page
    assert "refuses &lt;too&gt; much" in page
    assert "Roll back to the version before" not in page
    actors = InterrogationEvent.objects.values_list("actor", flat=True).distinct()
    assert all(actor.startswith("maintainer") for actor in actors)
    listed = " ".join(client.get(reverse("admin:derive_interrogation_changelist")).text.split())
    assert "1.0.0 <b>live</b>" in listed
    assert "1.1.0 <b>live</b>" not in listed


def test_a_version_that_has_not_passed_the_gate_is_refused_in_words(
    browse: Browse, queue: JobQueue, versions: dict[str, LoadedInterrogation]
) -> None:
    client, one = browse("maintainer"), versions["1.0.0"]
    queue.set_gate("mood", actor="ada", set_name="heights", gates=["f1>=0.9"])
    assert "only if it passed <code>f1&gt;=0.9 on heights</code>" in page_of(client, one)
    assert "Nothing was changed: " in act(client, one, "promote").text
    assert suggestions.live_registry().get("mood").version == "1.1.0"


def test_nothing_is_promoted_without_a_reason(browse: Browse, versions: dict[str, LoadedInterrogation]) -> None:
    client = browse("maintainer")
    assert "Say why: it is kept in the history." in act(client, versions["1.0.0"], "promote", reason=" ").text
    assert "Nothing was changed: " in act(client, versions["1.0.0"], "roll_back").text
    assert not InterrogationEvent.objects.exists()


@pytest.mark.parametrize("who", ["viewer", "operator", "nobody"])
def test_only_maintainers_promote(browse: Browse, versions: dict[str, LoadedInterrogation], who: str) -> None:
    client, one = browse(who), versions["1.0.0"]
    assert act(client, one, "promote").status_code == 403
    assert "Promote 1.0.0" not in page_of(client, one)
    assert not InterrogationEvent.objects.exists()
