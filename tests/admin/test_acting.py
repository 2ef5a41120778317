"""Acting on selected jobs."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from derive.contracts import JobRef
from derive.models import Job, JobEvent
from derive.queue import JobQueue
from tests.admin.conftest import Browse, Scene


def _post(client: Client, scene: Scene, action: str, **more: Any) -> Any:
    chosen = {"action": action, "_selected_action": [str(scene.waiting)], **more}
    return client.post(reverse("admin:derive_job_changelist"), chosen, follow=True)


def _confirm(client: Client, scene: Scene, action: str, status: str, reason: str = "as asked") -> Any:
    return _post(client, scene, action, confirmed="yes", reason=reason, ref=[f"{scene.waiting}:{status}"])


def test_an_action_asks_first_and_then_acts_with_its_reason(browse: Browse, scene: Scene) -> None:
    client = browse("operator")
    asked = _post(client, scene, "cancel")
    assert "Cancel: 1 job" in asked.text
    assert Job.objects.get(pk=scene.waiting).status == "NEW"
    done = _confirm(client, scene, "cancel", "NEW")
    assert "1 changed, 0 refused" in done.text
    event = JobEvent.objects.filter(job_id=scene.waiting).latest("event_seq")
    assert (event.event, event.reason) == ("cancelled", "as asked")
    assert event.actor == browse.people["operator"].username
    assert "1 changed, 0 refused" in _confirm(client, scene, "requeue", "CANCELLED").text
    assert Job.objects.get(pk=scene.waiting).status == "NEW"


def test_an_action_without_a_reason_changes_nothing(browse: Browse, scene: Scene) -> None:
    assert "Say why" in _confirm(browse("operator"), scene, "cancel", "NEW", reason=" ").text
    assert Job.objects.get(pk=scene.waiting).status == "NEW"


def test_a_job_that_moved_on_is_refused_with_why(browse: Browse, scene: Scene) -> None:
    client = browse("operator")
    _post(client, scene, "cancel")
    JobQueue().cancel([JobRef(job_id=scene.waiting)], actor="somebody else")
    page = _confirm(client, scene, "cancel", "NEW")
    assert "0 changed, 1 refused" in page.text
    assert "was refused" in page.text


@pytest.mark.parametrize("who", ["nobody", "viewer"])
def test_who_may_not_act_changes_nothing(who: str, browse: Browse, scene: Scene) -> None:
    _confirm(browse(who), scene, "cancel", "NEW")
    assert Job.objects.get(pk=scene.waiting).status == "NEW"


def test_a_forged_post_is_refused(browse: Browse, scene: Scene) -> None:
    client = browse("operator")
    client.handler.enforce_csrf_checks = True
    assert _confirm(client, scene, "cancel", "NEW").status_code == 403


def test_a_crafted_reference_is_an_error_and_no_crash(browse: Browse, scene: Scene) -> None:
    page = _post(browse("operator"), scene, "cancel", confirmed="yes", reason="x", ref=["<script>alert(1)</script>"])
    assert page.status_code == 200
    assert "<script>alert" not in page.text
