"""Every refusal, to a visitor, to somebody logged in, as a page and as JSON."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from derive.admin.jobs.upload import views as uploading
from tests.admin.conftest import Browse

LOGIN = "/admin/login/"
PROXY = "https://holocron.example"
HOSTILE = "https://<script>alert(1)</script>"
VISITORS = ["anonymous", "nobody", "viewer"]
PAGE, JSON = "text/html", "application/json"


@pytest.fixture
def visit(browse_rolled_back: Browse) -> Callable[[str], Client]:
    """Clients whose forms are checked as a browser's are, and who are shown what a fault looks like."""

    def client_of(who: str) -> Client:
        client = Client() if who == "anonymous" else browse_rolled_back(who)
        client.handler.enforce_csrf_checks = True
        client.raise_request_exception = False
        return client

    return client_of


def why(answer: Any, status: int, accept: str) -> str:
    """Return what a refusal says, once it has the wanted status and form."""
    assert answer.status_code == status, answer.content[:300]
    assert answer["Content-Type"].partition(";")[0] == accept
    return str(answer.json()["error"]) if accept == JSON else answer.content.decode()


@pytest.mark.parametrize("accept", [PAGE, JSON])
@pytest.mark.parametrize("who", VISITORS)
class TestEveryVisitor:
    def test_a_form_from_another_origin_is_told_what_to_set(
        self, visit: Callable[[str], Client], who: str, accept: str
    ) -> None:
        answer = visit(who).post(LOGIN, headers={"Accept": accept, "Origin": PROXY})
        assert f"CSRF_TRUSTED_ORIGINS={PROXY}" in why(answer, 403, accept)

    def test_a_form_of_a_stale_page_is_told_to_reload(
        self, visit: Callable[[str], Client], who: str, accept: str
    ) -> None:
        client = visit(who)
        no_cookie = client.post(LOGIN, headers={"Accept": accept})
        assert "Allow cookies" in why(no_cookie, 403, accept)
        client.cookies["csrftoken"] = "a" * 32
        stale = client.post(LOGIN, {"csrfmiddlewaretoken": "b" * 32}, headers={"Accept": accept})
        assert "Reload it" in why(stale, 403, accept)

    def test_an_address_that_leads_nowhere_is_not_found(
        self, visit: Callable[[str], Client], who: str, accept: str
    ) -> None:
        assert "There is no such page" in why(visit(who).get("/nowhere", headers={"Accept": accept}), 404, accept)
        assert "There is no such page" in why(visit(who).get("/nowhere%00", headers={"Accept": accept}), 404, accept)

    def test_a_body_that_is_too_large_is_413(
        self, visit: Callable[[str], Client], who: str, accept: str, settings: Settings
    ) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        client = visit(who)
        client.cookies["csrftoken"] = "a" * 32
        answer = client.post(LOGIN, {"username": "x" * 200}, headers={"Accept": accept})
        assert "too large" in why(answer, 413, accept)

    def test_a_host_that_is_not_allowed_is_a_bad_request(
        self, visit: Callable[[str], Client], who: str, accept: str
    ) -> None:
        answer = visit(who).get(LOGIN, headers={"Accept": accept, "Host": "evil.example"})
        assert "evil.example" not in why(answer, 400, accept)

    def test_a_fault_is_a_page_that_needs_nothing(
        self, visit: Callable[[str], Client], who: str, accept: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_arguments: object) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr("django.contrib.auth.middleware.get_user", broken)
        monkeypatch.setattr("derive.admin.site.permissions.may", broken)
        monkeypatch.setattr("derive.web._readiness.parts", broken)
        said = why(visit(who).get("/readyz", headers={"Accept": accept}), 500, accept)
        assert "its log says why" in said
        assert "secret detail" not in said

    def test_too_many_wrong_passwords_are_429(
        self, visit: Callable[[str], Client], who: str, accept: str, browse_rolled_back: Browse, settings: Settings
    ) -> None:
        settings.AXES_FAILURE_LIMIT = 2
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        client = visit(who)
        client.handler.enforce_csrf_checks = False
        form = {"username": browse_rolled_back.people["viewer"].username, "password": "wrong"}
        answers = [client.post(LOGIN, form, headers={"Accept": accept}) for _try in range(3)]
        assert "15 minutes" in why(answers[-1], 429, accept)


@pytest.mark.parametrize("accept", [PAGE, JSON])
@pytest.mark.parametrize(
    ("who", "missing"), [("nobody", "Viewer, Operator or Maintainer"), ("viewer", "derive.act_on_jobs")]
)
def test_a_right_that_is_missing_is_named(visit: Callable[[str], Client], who: str, missing: str, accept: str) -> None:
    answer = visit(who).get("/admin/derive/job/enqueue/", headers={"Accept": accept})
    assert missing in why(answer, 403, accept)


@pytest.mark.parametrize("accept", [PAGE, JSON])
def test_an_upload_that_is_too_large_is_413(
    visit: Callable[[str], Client], accept: str, monkeypatch: pytest.MonkeyPatch, uploads: Any
) -> None:
    monkeypatch.setattr(uploading, "MAX_REQUEST_BYTES", 10)
    answer = visit("operator").post("/admin/derive/job/upload/", {"format": "x" * 100}, headers={"Accept": accept})
    assert uploading._too_large() in why(answer, 413, accept)


def test_a_hostile_origin_is_shown_as_text(visit: Callable[[str], Client]) -> None:
    answer = visit("anonymous").post(LOGIN, headers={"Origin": HOSTILE})
    assert "<script>alert" not in why(answer, 403, PAGE)


# Django takes any column of the model with any lookup.
CRAFTED = ("\x00", "(", "9" * 30)
NAMES = ("q", "name", "name__regex", "id__regex", "email", "is_staff__exact")
MORE = ("groups__id__exact", "next_utc__year", "last_login__year", "o", "p", "task")


def test_no_crafted_query_string_breaks_a_list(visit: Callable[[str], Client]) -> None:
    client, broken = visit("superuser"), []
    for page in ("recurringinterrogation", "retentionpolicy", "systemschedule", "lakedeletion", "job", "schedulerun"):
        broken += _broken(client, f"/admin/derive/{page}/", NAMES[:3] + MORE[-4:])
    for page in ("user", "group"):
        broken += _broken(client, f"/admin/auth/{page}/", NAMES + MORE)
    assert broken == []


def _broken(client: Client, page: str, names: tuple[str, ...]) -> list[str]:
    addresses = [f"{page}?{quote(name)}={quote(value)}" for name in (*names, "\x00") for value in CRAFTED]
    return [one for one in addresses if client.get(one).status_code >= 500]


def test_a_list_still_filters_by_what_it_offers(visit: Callable[[str], Client], browse_rolled_back: Browse) -> None:
    answer = visit("superuser").get("/admin/auth/user/?is_superuser__exact=1")
    assert list(answer.context["cl"].queryset) == [browse_rolled_back.people["superuser"]]


def test_a_chosen_row_whose_key_is_none_is_a_bad_request(visit: Callable[[str], Client]) -> None:
    client = visit("superuser")
    client.handler.enforce_csrf_checks = False
    for key in ("\x00", "x"):
        form = {"action": "delete_selected", "_selected_action": key}
        assert client.post("/admin/auth/group/", form).status_code == 400
