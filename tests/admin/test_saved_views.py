"""Saved views of lists: one's own and shared ones, and the view that a list opens with."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.admin.jobs.list_preferences import COLUMNS, COOKIE
from derive.admin.lists import saved_views
from derive.models import DefaultView, SavedView
from tests.admin.conftest import HOSTILE, Browse

MAX_QUERIES = 12
LISTS = ("job", "run", "fact", "artifact", "jobevent", "batch", "seal")


@pytest.fixture
def browse(browse_rolled_back: Browse) -> Browse:
    """Views are Django's own rows."""
    return browse_rolled_back


def listing(page: str = "job") -> str:
    return reverse(f"admin:derive_{page}_changelist")


def change(client: Client, do: str, page: str = "job", **form: Any) -> Any:
    return client.post(reverse(f"admin:derive_{page}_views"), {"do": do, **form})


def save(client: Client, name: str = "Crashes", page: str = "job", **form: Any) -> SavedView:
    given = {"name": name, "filter": "status=FAILED&error_kind=model_crashed", **form}
    assert change(client, "save", page, **given).status_code == 302
    return SavedView.objects.order_by("pk").last()  # type: ignore[return-value]


def names(client: Client, page: str = "job", query: str = "?view=all") -> list[str]:
    return [one.name for one in client.get(listing(page) + query).context["views"]]


def current(client: Client, query: str) -> list[str]:
    return [one.name for one in client.get(listing() + query).context["views"] if one.is_current]


def test_a_filter_is_saved_under_a_name_and_leads_back_to_it(browse: Browse) -> None:
    client = browse("viewer")
    answer = change(client, "save", name=" Crashes ", filter="status=FAILED&error_kind=model_crashed&older=7&x=y")
    view = SavedView.objects.get()
    assert (view.name, view.filter, view.is_shared) == ("Crashes", "status=FAILED&error_kind=model_crashed", False)
    query = f"?status=FAILED&error_kind=model_crashed&view={view.pk}"
    assert answer["Location"] == listing() + query
    page = client.get(listing() + query)
    assert page.context["chosen"].values["error_kind"] == "model_crashed"
    assert current(client, query) == ["Crashes"]
    assert current(client, "?status=FAILED") == []
    assert current(client, "?status=DEADLETTER") == ["Gave up"]
    assert current(client, "?view=all") == ["All"]


def test_saving_under_the_same_name_replaces_the_filter(browse: Browse) -> None:
    client = browse("viewer")
    save(client)
    save(client, filter="status=RUNNING")
    assert SavedView.objects.get().filter == "status=RUNNING"


def test_a_view_is_its_owners_until_it_is_shared(browse: Browse) -> None:
    operator, viewer = browse("operator"), browse("viewer")
    view = save(operator)
    assert "Crashes" not in names(viewer)
    assert change(viewer, "default", view=view.pk).status_code == 302
    assert not DefaultView.objects.exists()
    change(operator, "share", view=view.pk)
    assert names(viewer)[-1] == "Crashes"
    change(viewer, "default", view=view.pk)
    change(operator, "unshare", view=view.pk)
    assert "Crashes" not in names(viewer)
    assert not DefaultView.objects.exists()
    assert viewer.get(listing()).status_code == 200


def test_who_may_not_share_cannot_and_is_not_offered_it(browse: Browse) -> None:
    viewer = browse("viewer")
    assert "Share with everybody" not in viewer.get(listing()).text
    assert change(viewer, "save", name="a", filter="", shared="on").status_code == 403
    view = save(viewer)
    assert change(viewer, "share", view=view.pk).status_code == 403
    assert "Share with everybody" in browse("operator").get(listing()).text


def test_a_shared_view_is_changed_by_its_owner_and_by_maintainers_alone(browse: Browse) -> None:
    operator, viewer, maintainer = browse("operator"), browse("viewer"), browse("maintainer")
    for do in ("rename", "unshare", "remove"):
        view = save(operator, shared="on")
        assert change(viewer, do, view=view.pk, name="mine now").status_code == 403
        assert SavedView.objects.filter(name="Crashes", is_shared=True).exists()
        assert change(maintainer, do, view=view.pk, name="better").status_code == 302
        assert not SavedView.objects.filter(name="Crashes", is_shared=True).exists()


def test_a_list_opens_with_the_view_that_its_reader_chose(browse: Browse) -> None:
    operator, viewer = browse("operator"), browse("viewer")
    view = save(operator, shared="on", default="on")
    assert viewer.get(listing()).status_code == 200
    answer = operator.get(listing())
    assert answer["Location"] == f"?{view.filter}&view={view.pk}"
    assert operator.get(listing() + "?status=NEW").status_code == 200
    page = operator.get(listing() + "?view=all")
    assert page.context["chosen"].active() == {}
    change(operator, "no_default", view=view.pk)
    assert operator.get(listing()).status_code == 200


def test_a_view_without_any_filter_does_not_redirect_for_ever(browse: Browse) -> None:
    client = browse("viewer")
    save(client, filter="", default="on")
    assert client.get(listing(), follow=True).status_code == 200


def test_a_view_keeps_its_columns_and_density_but_not_whether_keys_act(browse: Browse) -> None:
    client, other = browse("operator"), browse("viewer")
    client.post(reverse("admin:derive_job_display"), {"column": ["priority", "worker"], "density": "compact"})
    view = save(client, shared="on")
    assert view.display == "priority.worker.compact"
    page = other.get(listing() + saved_views.address_of(view))
    assert [title for _name, title, is_on in page.context["preferences"].choices if is_on] == ["Priority", "Worker"]
    assert page.context["preferences"].is_compact
    assert page.context["preferences"].has_keys
    assert f"view={view.pk}" in page.context["live_from"]
    live = other.get(page.context["live_from"])
    assert live.context["preferences"].columns == {"priority", "worker"}
    other.cookies[COOKIE] = ".".join(COLUMNS)
    assert other.get(page.context["live_from"]).context["preferences"].columns == {"priority", "worker"}


def test_a_rename_to_a_name_that_is_taken_changes_nothing(browse: Browse) -> None:
    client = browse("viewer")
    save(client, "one")
    view = save(client, "two")
    answer = change(client, "rename", view=view.pk, name="one")
    assert (
        "You have a view of that name already" in client.get(listing() + answer["Location"].partition("/job/")[2]).text
    )
    assert set(SavedView.objects.values_list("name", flat=True)) == {"one", "two"}


CRAFTED = [
    ({"do": "save", "name": " "}, "from 1 to 60 characters"),
    ({"do": "save", "name": "x" * 61}, "from 1 to 60 characters"),
    ({"do": "save", "name": "x\x00"}, "U+0000"),
    ({"do": "save", "name": "x", "filter": "status=BOGUS"}, "The filter is invalid"),
    ({"do": "remove", "view": "999"}, "no such view"),
    ({"do": "rename", "view": "9" * 30, "name": "x"}, "no such view"),
    ({"do": "default", "view": "' OR 1=1"}, "no such view"),
]


def test_a_crafted_form_saves_nothing_and_says_why(browse: Browse) -> None:
    client = browse("operator")
    for form, why in CRAFTED:
        answer = client.post(reverse("admin:derive_job_views"), form)
        assert answer.status_code == 302
        told = [str(message) for message in get_messages(answer.wsgi_request)]
        assert why in told[-1], form
    for form in ({"do": "nonsense"}, {}):
        assert client.post(reverse("admin:derive_job_views"), form).status_code == 400
    assert client.get(reverse("admin:derive_job_views")).status_code == 405
    assert not SavedView.objects.exists()


def test_a_hostile_name_is_text(browse: Browse) -> None:
    client = browse("operator")
    save(client, HOSTILE[:40], shared="on")
    text = browse("viewer").get(listing()).text
    assert "<script>alert" not in text
    assert "\u202e" not in text


def test_nobody_saves_views_without_end(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MAX_OWN_VIEWS", 2)
    client = browse("viewer")
    for name in ("one", "two", "three", "two"):
        save(client, name)
    assert sorted(SavedView.objects.values_list("name", flat=True)) == ["one", "two"]


def test_every_list_has_views_of_its_own_at_few_queries(browse: Browse) -> None:
    client = browse("operator")
    for page in LISTS:
        view = save(client, page, page=page, filter="")
        with CaptureQueriesContext(connection) as queries:
            shown = client.get(listing(page) + saved_views.address_of(view))
        assert [one.name for one in shown.context["views"] if one.view] == [page]
        assert len(queries) <= MAX_QUERIES


def test_a_person_who_leaves_takes_their_views_along(browse: Browse) -> None:
    view = save(browse("operator"), shared="on")
    change(browse("viewer"), "default", view=view.pk)
    User.objects.get(pk=browse.people["operator"].pk).delete()
    assert not SavedView.objects.exists()
    assert browse("viewer").get(listing()).status_code == 200
