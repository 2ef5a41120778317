"""Every address of the admin, for everybody: generated from the URL configuration, so that no page is forgotten."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, URLPattern, URLResolver, reverse

from derive.models import JobEvent
from tests.admin.conftest import HOSTILE, PEOPLE, Browse, Scene

MAX_QUERIES = 12
OWN_PAGES = {"job", "run", "fact", "artifact", "jobevent", "worker", "interrogation", "lakedeletion"}


def _names(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


NAMES = sorted(set(_names(admin.site.urls[0])))
LISTS = [f"derive_{page}_changelist" for page in sorted(OWN_PAGES)]


def _keys(scene: Scene) -> dict[str, Any]:
    return {
        "job": scene.done,
        "run": scene.run,
        "artifact": scene.artifact,
        "fact": scene.run,
        "jobevent": JobEvent.objects.order_by("event_seq").values_list("pk", flat=True)[0],
        "worker": "worker-1",
        "interrogation": "0" * 64,
        "lakedeletion": 1,
    }


def _address(name: str, scene: Scene) -> str | None:
    keys = _keys(scene)
    model = name.split("_")[1] if name.startswith("derive_") else ""
    for arguments in ([], [keys.get(model, 1)], ["derive"]):
        try:
            return reverse(f"admin:{name}", args=arguments)
        except NoReverseMatch:
            continue
    return None


def _is_bounded(sql: str) -> bool:
    return any(bound in sql for bound in ("LIMIT ", "FETCH NEXT ", "SELECT TOP "))


def test_nobody_outside_the_groups_sees_any_page(browse: Browse, scene: Scene) -> None:
    open_to_all = {"login", "logout", "jsi18n"}
    strangers = [browse("nobody"), Client()]
    addresses = [_address(name, scene) for name in NAMES if name not in open_to_all]
    assert len([address for address in addresses if address]) > len(OWN_PAGES) * 3
    for stranger in strangers:
        for address in filter(None, addresses):
            assert stranger.get(address).status_code in {302, 403, 404}, address


@pytest.mark.parametrize("who", PEOPLE[1:])
def test_each_page_is_shown_refused_or_not_there_and_never_fails(who: str, browse: Browse, scene: Scene) -> None:
    client = browse(who)
    for name in NAMES:
        if name in {"logout", "password_change", "password_change_done"} or (address := _address(name, scene)) is None:
            continue
        with closing(client.get(address)) as answer:
            status = answer.status_code
        assert status in {200, 302, 403, 404, 405}, (name, status)
        model = name.removeprefix("derive_").rsplit("_", 1)[0]
        if name.startswith("derive_") and name.endswith(("_add", "_delete")) and model in OWN_PAGES:
            assert status == 403, name
        if name.startswith(("auth_", "django_q_")) and who in {"viewer", "operator"}:
            assert status in {403, 302}, name
        if model == "lakedeletion":
            assert (status == 403) == (who in {"viewer", "operator"}) or status in {302, 403, 404}, name


@pytest.mark.parametrize("name", LISTS)
def test_a_list_takes_few_queries_and_escapes_what_strangers_wrote(name: str, browse: Browse, scene: Scene) -> None:
    client = browse("maintainer")
    with CaptureQueriesContext(connection) as queries:
        page = client.get(reverse(f"admin:{name}"))
    assert page.status_code == 200
    assert len(queries) <= MAX_QUERIES, [query["sql"][:200] for query in queries]
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert not [query["sql"] for query in queries if "COUNT(*)" in query["sql"] and not _is_bounded(query["sql"])]


@pytest.mark.parametrize("who", ["viewer", "operator"])
@pytest.mark.parametrize("page", ["job", "run"])
def test_payloads_are_on_a_page_only_for_those_who_may_see_them(
    page: str, who: str, browse: Browse, scene: Scene
) -> None:
    key = {"job": scene.done, "run": scene.run}[page]
    client = browse(who)
    with CaptureQueriesContext(connection) as queries:
        shown = client.get(reverse(f"admin:derive_{page}_change", args=[key])).text
    assert len(queries) <= MAX_QUERIES, [query["sql"][:200] for query in queries]
    secret = {"job": "&quot;name&quot;", "run": "made up"}[page]
    assert (secret in shown) == (who == "operator")
    assert HOSTILE not in shown
    assert "<script>alert" not in shown


@pytest.mark.parametrize("term", ["done", "run", "entity", "the-key"])
def test_a_search_finds_a_job_by_each_of_its_exact_names(term: str, browse: Browse, scene: Scene) -> None:
    asked = {"done": str(scene.done), "run": str(scene.run), "entity": HOSTILE}.get(term, term)
    page = browse("viewer").get(reverse("admin:derive_job_changelist"), {"q": asked}, follow=True)
    if asked == str(scene.done):
        assert page.context["job"].job_id == scene.done
        return
    assert [job.job_id for job in page.context["rows"]] == [scene.done]


@pytest.mark.parametrize(
    "query",
    [
        "status__exact=NEW",
        "status__exact=NEW&queued=hour",
        "queued=older",
        "interrogation_key=sw_entity_facts_v1&p=999",
        "job_seq__lt=1",
        "job_seq__lt=99999999999999999999999999999",
        "all=",
        "o=-1.2.3",
        "q=%00%ff",
        "status__exact=%3Cscript%3Ealert(1)%3C/script%3E",
        "runs__error__regex=(a%2B)%2B",
    ],
)
def test_a_crafted_filter_is_answered(query: str, browse: Browse, scene: Scene) -> None:
    page = browse("viewer").get(f"{reverse('admin:derive_job_changelist')}?{query}", follow=True)
    assert page.status_code in {200, 400}
    assert "<script>alert" not in page.text
