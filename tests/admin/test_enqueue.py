"""Enqueue: the form, its preview, and the job it queues."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pydantic import BaseModel, Field
from pytest_django.fixtures import Settings

from derive.admin.jobs.enqueue import schema_form
from derive.admin.jobs.enqueue import views as enqueue_views
from derive.admin.jobs.enqueue.model_choices import ModelChoices
from derive.admin.site import permissions
from derive.model_servers.settings import ModelSettings
from derive.models import Job, JobEvent
from derive.queue import JobQueue
from tests.admin.conftest import HOSTILE, Browse

ENQUEUE = "admin:derive_job_act_enqueue"
TEXT = "Luke Skywalker grew up on Tatooine. Write to luke@rebellion.example."


@pytest.fixture(autouse=True)
def _no_ollama(settings: Settings) -> None:
    # A port that nobody listens on: refused at once.
    settings.OLLAMA = ModelSettings(base_url="http://127.0.0.1:1", num_ctx=3072)
    cache.clear()


def form(**changes: Any) -> dict[str, Any]:
    return {
        "step": "enqueue",
        "form_id": str(uuid4()),
        "interrogation": "sw_entity_facts_v1",
        "input.entity_type": "character",
        "input.entity_id": "luke",
        **evidence(("a", TEXT)),
        "priority": "7",
        "max_attempts": "2",
        **changes,
    }


def evidence(*pieces: tuple[str, str]) -> dict[str, Any]:
    """The formset's members for pieces of an id and a text."""
    typed: dict[str, Any] = {"evidence-TOTAL_FORMS": len(pieces), "evidence-INITIAL_FORMS": 0}
    for place, (evidence_id, text) in enumerate(pieces):
        typed |= {f"evidence-{place}-evidence_id": evidence_id, f"evidence-{place}-text": text}
    return typed


def send(client: Client, **changes: Any) -> Any:
    return client.post(reverse(ENQUEUE), form(**changes))


def test_the_job_is_queued_as_it_was_typed_with_its_actor_and_reason(
    operator: Client, browse: Browse, queue: JobQueue
) -> None:
    answer = send(operator, reason="asked for", model_hint="tiny", dedupe_key="k", available="2100-01-01T12:00")
    job = Job.objects.get()
    assert answer["Location"] == reverse("admin:derive_job_change", args=[job.job_id])
    assert (job.status, job.priority, job.max_attempts, job.model_hint, job.dedupe_key) == (
        *("SCHEDULED", 7, 2, "tiny", "k"),
    )
    assert (job.entity_type, job.entity_id) == ("character", "luke")
    assert json.loads(job.input_json)["extra_params"]["evidence"] == [{"evidence_id": "a", "text": TEXT}]
    event = JobEvent.objects.get()
    assert (event.actor, event.reason) == (browse.people["operator"].username, "asked for")


def test_the_preview_shows_bounds_redactions_prompt_and_tokens_and_queues_nothing(
    operator: Client, queue: JobQueue
) -> None:
    answer = send(operator, step="preview", **evidence(("a", TEXT + "x" * 60_000)))
    page = answer.content.decode()
    preview = answer.context["preview"]
    assert [(one.pattern, one.count) for one in preview.bundle.redactions] == [("email", 1)]
    assert [cut.why for cut in preview.bundle.cuts] == ["item_too_long"]
    assert not preview.fits
    assert "evidence_too_large" in page
    assert "luke@rebellion.example" not in preview.prompt
    assert "of 3,072 tokens" in page.replace("\u202f", ",")
    assert not Job.objects.exists()


def test_hostile_text_is_shown_as_text_and_comes_back_as_it_was_typed(operator: Client, queue: JobQueue) -> None:
    answer = send(operator, step="preview", **evidence(("<b>", HOSTILE)), dedupe_key=HOSTILE, reason=HOSTILE)
    page = answer.content.decode()
    assert "<script>alert" not in page
    assert "⟨U+202E⟩" in page
    assert answer.context["form"].evidence[0]["text"] == HOSTILE
    assert escape(HOSTILE) in page


def test_an_upload_becomes_a_piece_that_can_be_seen(operator: Client, queue: JobQueue) -> None:
    good = SimpleUploadedFile("hoth.txt", "Hoth is an ice planet.\r\nCold.".encode("utf-8-sig"))
    answer = send(operator, step="preview", evidence_file=[good])
    uploaded = answer.context["form"].evidence[1]
    assert (uploaded["source_uri"], uploaded["text"]) == ("file:hoth.txt", "Hoth is an ice planet.\nCold.")
    assert 'name="evidence-1-text"' in answer.text
    assert "Hoth is an ice planet." in answer.context["preview"].prompt


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"\xff\xfe", "is not UTF-8 text (byte 1)"), (b"a\x00b", "U+0000"), (b"x" * 1_000_001, "is larger than")],
)
def test_an_upload_that_is_no_bounded_text_is_refused_with_the_reason(
    operator: Client, queue: JobQueue, content: bytes, why: str
) -> None:
    answer = send(operator, evidence_file=[SimpleUploadedFile("bad.bin", content)])
    assert answer.status_code == 400
    assert any(why in problem for problem in answer.context["problems"])
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"input.entity_type": "droideka"}, "entity_type"),
        ({"input.entity_id": ""}, "entity_id"),
        ({"priority": "much"}, "priority"),
        ({"max_attempts": "0"}, "max_attempts"),
        ({"available": "soon"}, "Not before: Write a time"),
        ({"reason": "a\x00b"}, "Reason: "),
        ({"reason": "x" * 1_001}, "Reason: Give a reason of at most 1000"),
        ({"evidence_ref_json": "{"}, "evidence_ref_json"),
        (evidence(("a\tb", TEXT), ("b", "b")), "evidence_id"),
    ],
)
def test_what_cannot_be_queued_says_why_and_keeps_what_was_typed(
    operator: Client, queue: JobQueue, changes: dict[str, Any], why: str
) -> None:
    answer = send(operator, **changes)
    assert answer.status_code == 400
    assert any(why in problem for problem in answer.context["problems"])
    assert TEXT in answer.content.decode()
    assert not Job.objects.exists()


def test_empty_pieces_are_dropped_and_another_piece_adds_room(operator: Client, queue: JobQueue) -> None:
    page = send(operator, step="more", **evidence(("a", TEXT), ("", " "), ("c", "more"))).text
    assert 'name="evidence-TOTAL_FORMS" value="4"' in page
    assert 'placeholder="evidence-4"' in page
    send(operator, **evidence(("", TEXT), ("", " "), ("", "more")))
    stored = json.loads(Job.objects.get().input_json)["extra_params"]["evidence"]
    assert [(one["evidence_id"], one["text"]) for one in stored] == [("evidence-1", TEXT), ("evidence-2", "more")]


def test_more_pieces_than_a_job_may_carry_are_refused(operator: Client, queue: JobQueue) -> None:
    answer = send(operator, **evidence(*(("", "a") for _ in range(201))))
    assert answer.context["problems"] == ["evidence: no more than 200 pieces"]


@pytest.mark.parametrize("total", ["", "-1", "many", "9" * 30])
def test_a_form_that_miscounts_its_evidence_is_answered(operator: Client, queue: JobQueue, total: str) -> None:
    assert send(operator, step="more", **{"evidence-TOTAL_FORMS": total}).status_code == 200


def test_a_held_dedupe_key_names_and_links_its_job(operator: Client, queue: JobQueue) -> None:
    send(operator, dedupe_key="k")
    holder = Job.objects.get()
    answer = send(operator, dedupe_key="k", **{"input.entity_id": "leia"})
    assert answer.status_code == 409
    assert reverse("admin:derive_job_change", args=[holder.job_id]) in answer.content.decode()
    assert Job.objects.count() == 1


def test_a_form_sent_twice_is_one_job_and_changed_another(operator: Client, queue: JobQueue) -> None:
    form_id = str(uuid4())
    send(operator, form_id=form_id)
    send(operator, form_id=form_id)
    assert Job.objects.count() == 1
    send(operator, form_id=form_id, priority="8")
    assert Job.objects.count() == 2


def test_an_ollama_that_is_away_leaves_a_field_and_a_reason(operator: Client, queue: JobQueue) -> None:
    answer = operator.get(reverse(ENQUEUE))
    assert answer.context["models"].why_not
    assert "cannot be listed" in answer.content.decode()


def test_who_may_not_see_payloads_previews_nothing(
    operator: Client, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = permissions.may
    monkeypatch.setattr(
        permissions, "may", lambda request, what: what != permissions.SEE_PAYLOADS and may(request, what)
    )
    assert send(operator, step="preview").status_code == 403
    assert send(operator).status_code == 302


def test_enqueueing_needs_the_page_s_own_token(browse: Browse, queue: JobQueue) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(browse.people["operator"], backend="django.contrib.auth.backends.ModelBackend")
    assert send(client).status_code == 403
    assert not Job.objects.exists()


class Depth(BaseModel):
    """An input of one's own."""

    name: str = Field(description="what it is called", max_length=20)
    size: int | None = None
    is_big: bool = False
    tags: list[str] = []
    more: dict[str, int] = {}


def test_an_input_contract_of_one_s_own_becomes_fields() -> None:
    fields: dict[str, Any] = schema_form.input_form(Depth, QueryDict(), is_whole=False).fields
    assert [(name, one.kind, one.is_required) for name, one in fields.items()] == [
        ("name", "text", True),
        ("size", "integer", False),
        ("is_big", "yes_no", False),
        ("tags", "lines", False),
        ("more", "json", False),
    ]
    assert (fields["name"].help_text, fields["name"].widget.attrs["maxlength"]) == ("what it is called", 20)
    assert not schema_form.takes_evidence(Depth)


@pytest.mark.parametrize(
    ("typed", "is_read_as"),
    [
        ("input.name=R2", {"name": "R2", "is_big": False}),
        ("input.size=3", {"size": 3, "is_big": False}),
        ("input.size=many", {"size": "many", "is_big": False}),
        ("input.is_big=yes", {"is_big": True}),
        ("input.tags=a%0D%0A%0D%0A+b", {"tags": ["a", "b"], "is_big": False}),
        ('input.more={"a":1}', {"more": {"a": 1}, "is_big": False}),
        ("input.name=+&input.tags=+", {"is_big": False}),
    ],
)
def test_what_was_typed_is_read_as_its_members_type(typed: str, is_read_as: dict[str, Any]) -> None:
    assert schema_form.input_form(Depth, QueryDict(typed), is_whole=True).read() == (is_read_as, [])


def test_a_member_that_is_no_json_is_reported_and_comes_back_as_it_was_typed() -> None:
    form = schema_form.input_form(Depth, QueryDict("input.more={"), is_whole=True)
    assert form.read()[1][0].startswith("more: is not JSON")
    assert ">\n{</textarea>" in str(form["more"])


def test_choosing_another_interrogation_keeps_what_was_typed_and_shows_the_others_defaults() -> None:
    form = schema_form.input_form(Depth, QueryDict("input.name=R2"), is_whole=False)
    assert [form[name].value() for name in ("name", "size", "is_big")] == ["R2", None, False]


def test_a_time_is_read_in_the_zone_that_its_field_names(operator: Client, queue: JobQueue) -> None:
    operator.cookies["holocron_zone"] = "Asia/Tokyo"
    page = operator.get(reverse(ENQUEUE)).text
    assert "Not before (<span data-when-zone>Asia/Tokyo</span>)" in page
    assert '<input type="hidden" name="zone" value="Asia/Tokyo" />' in page
    # The page was rendered in Berlin; the browser has moved on to Tokyo since.
    send(operator, available="2100-01-01T12:00", zone="Europe/Berlin")
    send(operator, available="2100-01-01T12:00", zone="/etc/passwd")
    starts = Job.objects.order_by("job_seq").values_list("available_utc", flat=True)
    assert [f"{one:%H:%M}" for one in starts] == ["11:00", "03:00"]


def test_a_time_keeps_its_zone_when_the_form_comes_back(operator: Client) -> None:
    page = send(operator, step="more", available="2100-01-01T12:00", zone="Europe/Berlin").text
    assert "Not before (<span data-when-zone>Europe/Berlin</span>)" in page


@pytest.mark.parametrize(
    ("model_hint", "is_missing"), [("", False), ("TINY", False), ("tiny:7b", True), ("none", True)]
)
def test_a_preview_warns_of_a_model_that_no_server_has(
    operator: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, model_hint: str, is_missing: bool
) -> None:
    settings.OLLAMA = ModelSettings(base_url="http://127.0.0.1:1", model="tiny", num_ctx=3072)
    monkeypatch.setattr(enqueue_views, "model_choices", lambda: ModelChoices(names=("tiny:latest", "big:7b")))
    page = send(operator, step="preview", model_hint=model_hint).content.decode()
    assert ("No model server has" in page) is is_missing
    assert ("hc-good" in page) is not is_missing


def test_a_preview_warns_of_no_model_where_the_models_are_not_known(operator: Client, queue: JobQueue) -> None:
    assert "No model server has" not in send(operator, step="preview", model_hint="none").text
