"""Every address of the admin, asked by everybody: generated from the URL configuration, so that none is forgotten."""

import logging
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.contract.scenes import queued

ANY_ID = UUID(int=7)
SAMPLES = {"uuid": ANY_ID, "int": 7, "str": "x", "slug": "x", "path": "7"}

# Open to everybody by nature.
OPEN = {"login"}
# To all who are logged in as staff: they name nothing of the queue.
STAFF = {
    "index",
    "logout",
    "password_change",
    "password_change_done",
    "jsi18n",
    "search",
    "autocomplete",
    "app_list",
    None,
}
MAINTAINERS = ("derive_systemschedule_",)
# Viewers see what is planned; operators plan.
PLANNED = ("derive_retrypolicy_", "derive_escalationpolicy_", "derive_recurringinterrogation_", "derive_alertrule_")
ALERTS = ("derive_alert_test", "derive_alert_close")
REVIEWING = tuple(f"derive_factreview_{page}" for page in ("changelist", "next", "show", "decide", "add"))
EVALUATING = ("derive_goldencase_make", *(f"derive_experiment_{page}" for page in ("start", "cancel", "case")))
PURGING = ("derive_retentionpolicy_",)
MAINTAINED = ("derive_job_purge", "derive_job_purge_run", "derive_factreview_policy", "derive_interrogation_promote")
PLANNING = ("_add", "_delete", "_preview")
READ_BY_DJANGO = {f"derive_{model}_change" for model in ("run", "jobevent", "worker", "lakedeletion", "seal")}
TAKES_PAYLOADS = ("_payload", "_download", "_raw")
TAKES_ACTING = ("_act",)


def addresses() -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> None:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns, prefix + str(pattern.pattern))
                continue
            route = str(pattern.pattern)
            if "(?P" in route:
                route = "derive/" if pattern.name == "app_list" else "nowhere"
            for name, converter in pattern.pattern.converters.items():
                kind = type(converter).__name__.removesuffix("Converter").lower().replace("string", "str")
                route = route.replace(f"<{kind}:{name}>", str(SAMPLES[kind]))
            found.append((f"/{prefix}{route}", pattern.name))

    walk(get_resolver().url_patterns, "")
    return [one for one in found if one[0].startswith("/admin/")]


def may(who: str, method: str, name: str | None) -> bool:
    """Tell what the groups promise, by the names of the addresses."""
    if name in OPEN or who == "nobody":
        return name in {*OPEN, "logout"}
    if name in STAFF or name is None:
        return True
    if name.startswith(MAINTAINERS) or name in MAINTAINED or is_planning(method, name, PURGING):
        return who == "maintainer"
    if any(part in name for part in (*TAKES_PAYLOADS, *TAKES_ACTING)) or _plans_or_tells(method, name):
        return who in {"operator", "maintainer"}
    if name.startswith("derive_lakedeletion") and who != "maintainer":
        return False
    # Pages of Django's own making refuse to be written to.
    return name.startswith("derive_") and not (method == "post" and name in READ_BY_DJANGO)


def _plans_or_tells(method: str, name: str) -> bool:
    return is_planning(method, name, PLANNED) or name in {*ALERTS, *REVIEWING, *EVALUATING}


def is_planning(method: str, name: str, plans: tuple[str, ...]) -> bool:
    writes = name.endswith(PLANNING) or (method == "post" and name.endswith("_change"))
    return name.startswith(plans) and writes


@pytest.mark.parametrize("who", ["viewer", "operator", "maintainer", "nobody"])
def test_every_address_answers_each_group_as_its_rights_say(browse: Browse, who: str) -> None:
    client, wrong = browse(who), []
    for address, name in addresses():
        if name == "logout":
            continue
        for method in ("get", "post"):
            code = getattr(client, method)(address).status_code
            if (code == 403) == may(who, method, name) and code != 405:
                wrong.append(f"{method} {address} ({name}): {code}")
    assert not wrong, "\n".join(wrong)


def test_a_stranger_is_sent_to_the_log_in_everywhere(browse: Browse) -> None:
    client = Client()
    for address, name in addresses():
        if name not in {*OPEN, "logout"}:
            answer = client.get(address)
            assert answer.status_code == 302, address
            assert answer["Location"].startswith("/admin/login/"), address


def test_a_refusal_says_what_is_missing_and_leaves_a_line(browse: Browse, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "derive.admin.site.denied"):
        answer = browse("viewer").get("/admin/derive/systemschedule/")
    assert answer.status_code == 403
    (record,) = [one for one in caplog.records if one.message == "access.denied"]
    assert record.__dict__["actor"] == browse.people["viewer"].username
    assert record.__dict__["path"] == "/admin/derive/systemschedule/"


def test_the_migration_made_the_groups_with_separate_rights(browse: Browse) -> None:
    rights = {group.name: set(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()}
    assert "view_job" in rights["Viewer"]
    assert not {"see_payloads", "act_on_jobs", "purge_jobs"} & rights["Viewer"]
    assert {"see_payloads", "act_on_jobs"} <= rights["Operator"]
    assert "change_schedule" not in rights["Operator"]
    assert {"purge_jobs", "change_schedule"} <= rights["Maintainer"]


def test_five_wrong_passwords_lock_the_log_in(browse: Browse) -> None:
    client = Client()
    form = {"username": browse.people["viewer"].username, "password": "wrong"}
    codes = [client.post("/admin/login/", form).status_code for _try in range(6)]
    assert codes[:4] == [200] * 4
    assert codes[-1] == 429
    assert b"15 minutes" in client.post("/admin/login/", form).content


def test_pages_run_no_script_but_our_own_and_are_framed_by_nobody(browse: Browse, queue: JobQueue) -> None:
    queued(queue)
    answer = browse("viewer").get("/admin/derive/job/")
    policy = dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))
    assert set(policy["script-src"].split()) <= {"'self'", "'unsafe-eval'"}
    assert policy["object-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert answer["X-Content-Type-Options"] == "nosniff"
