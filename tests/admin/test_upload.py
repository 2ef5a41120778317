"""Upload: a file of jobs is checked line by line, looked at, and queued as a whole or not at all."""

import csv
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core import signing
from django.test import Client
from django.urls import reverse

from derive.admin.display.template_tags import number
from derive.admin.jobs import long_action
from derive.admin.jobs.upload import upload_handler
from derive.admin.jobs.upload import views as upload_views
from derive.admin.jobs.upload.rejected_lines import as_csv
from derive.admin.site import permissions
from derive.errors import DatabaseUnavailable
from derive.intake import key_lookup, spool, upload_state, uploads_folder
from derive.intake import upload as kept_upload
from derive.models import Batch, Job, JobEvent
from derive.queue import JobQueue
from tests.admin.conftest import HOSTILE, Browse
from tests.admin.uploads import BAD, DISCARD, IN_STEPS, STEP, UPLOAD, jsonl, page, queue_all, row, send, token_of
from tests.contract.scenes import KEY, queued, ref

pytestmark = pytest.mark.usefixtures("uploads")


@pytest.fixture
def sender(browse_rolled_back: Browse) -> Client:
    """Somebody who uploads and queues nothing: in one transaction that is rolled back, which is faster."""
    return browse_rolled_back("operator")


def files(uploads: Path) -> list[str]:
    return sorted(one.name for one in uploads.rglob("*") if one.is_file())


def test_a_file_is_shown_and_then_queued_with_its_sender_and_the_reason(operator: Client, browse: Browse) -> None:
    content = jsonl(row(1, priority=7, model_hint="tiny", dedupe_key="k1"), "", row(2))
    token = token_of(send(operator, content))
    shown = page(operator, token)
    assert [(line, job.entity_id, job.priority) for line, job in shown.context["good"]] == [
        (1, "p1", 7),
        (3, "p2", 100),
    ]
    assert "Queue all 2" in shown.content.decode()
    assert not Job.objects.exists()
    assert token_of(queue_all(operator, token)) == token
    assert "2 jobs queued." in page(operator, token).content.decode()
    assert set(Job.objects.values_list("entity_id", "created_by")) == {
        ("p1", browse.people["operator"].username),
        ("p2", browse.people["operator"].username),
    }
    assert set(JobEvent.objects.values_list("reason", flat=True)) == {"asked for"}


def test_csv_is_read_by_its_name_or_when_it_is_said(operator: Client) -> None:
    text = b'interrogation_key,input,entity_id\n%s,"{""entity_type"":""planet"",""entity_id"":""hoth""}",hoth\n'
    content = text % KEY.encode()
    for name, form in (("jobs.CSV", ""), ("jobs.txt", "csv")):
        queue_all(operator, token_of(send(operator, content, name, format=form)))
    assert list(Job.objects.values_list("entity_id", flat=True)) == ["hoth", "hoth"]
    assert send(operator, content, "jobs.txt").status_code == 400


def test_a_file_can_be_queued_as_a_batch_that_has_all_its_jobs_then(operator: Client, browse: Browse) -> None:
    token = token_of(send(operator, jsonl(row(1), row(2))))
    assert token_of(queue_all(operator, token, batch=" letters ")) == token
    batch = Batch.objects.get()
    assert (batch.name, batch.created_by) == ("letters", browse.people["operator"].username)
    assert batch.filled_utc is not None
    assert set(Job.objects.values_list("batch_id", flat=True)) == {batch.batch_id}
    assert reverse("admin:derive_batch_change", args=[batch.batch_id]) in page(operator, token).text
    refused = token_of(send(operator, jsonl(row(3))))
    assert queue_all(operator, refused, batch="x" * 201).status_code == 400
    assert Job.objects.count() == 2


def test_one_bad_line_and_nothing_is_queued_unless_the_good_ones_are_chosen(operator: Client) -> None:
    token = token_of(send(operator, jsonl(row(1), "{nonsense", row(3))))
    refused = queue_all(operator, token)
    assert refused.status_code == 409
    assert "nothing was queued" in refused.content.decode()
    assert not Job.objects.exists()
    queue_all(operator, token, skip_invalid="yes")
    assert set(Job.objects.values_list("entity_id", flat=True)) == {"p1", "p3"}


def test_every_bad_line_can_be_downloaded_and_none_is_a_formula(
    sender: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_views, "BAD_SHOWN", 2)
    rows: list[Any] = [row(1, interrogation_key='=HYPERLINK("http://x")'), "nonsense", row(3), row(4, **{"=cmd()": 1})]
    token = token_of(send(sender, jsonl(*rows)))
    assert [line for line, _why in page(sender, token).context["bad"]] == [1, 2]
    answer: Any = sender.get(reverse(BAD), {"upload": token})
    text = b"".join(answer.streaming_content).decode()
    assert [one[0] for one in csv.reader(text.splitlines())] == ["line", "1", "2", "4"]
    assert not any(cell.startswith(("=", "+", "-", "@")) for one in csv.reader(text.splitlines()) for cell in one)
    assert 'attachment; filename="invalid-lines.csv"' in answer["Content-Disposition"]


def test_a_reason_that_a_spreadsheet_would_run_is_unarmed() -> None:
    assert b"".join(as_csv([(7, "=cmd|' /C calc'!A0")])).splitlines()[1] == b"7,\"'=cmd|' /C calc'!A0\""


def test_hostile_cells_and_file_names_are_shown_as_text(sender: Client) -> None:
    rows = [row(1, entity_id=HOSTILE, model_hint=HOSTILE[:150], dedupe_key=HOSTILE), row(2, **{HOSTILE: 1})]
    token = token_of(send(sender, jsonl(*rows), f"{HOSTILE.replace('/', '')}.jsonl"))
    shown = page(sender, token)
    assert (len(shown.context["good"]), len(shown.context["bad"])) == (1, 1)
    for text in (shown.content.decode(), sender.get(reverse(UPLOAD)).content.decode()):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "\u202e" not in text


def test_sending_again_queues_nothing_again(operator: Client) -> None:
    token = token_of(send(operator, jsonl(*map(row, range(5)))))
    for _time in range(3):
        queue_all(operator, token)
    assert Job.objects.count() == 5
    assert page(operator, token).context["state"].queued == 5


def test_a_step_that_was_killed_while_it_checked_is_done_again_from_its_beginning(
    operator: Client, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_action, "STEP_SECONDS", 0)
    token = token_of(send(operator, jsonl(row(1), "bad", row(3))))
    (good,) = uploads.rglob("good")
    with good.open("ab") as file:
        file.write(b"2\t\thalf a li")
    operator.post(reverse(STEP), {"upload": token})
    state = page(operator, token).context["state"]
    assert (state.good, state.bad, state.is_checked) == (2, 1, True)
    queue_all(operator, token, skip_invalid="yes")
    assert Job.objects.count() == 2


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_steps_of_any_size_come_to_the_same_counts(
    operator: Client, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(long_action, "STEP_SECONDS", 0)
    monkeypatch.setattr(spool, "BATCH_JOBS", 2)
    if form == "jsonl":
        content = jsonl(row(1), "bad", row(3), "bad", row(5))
    else:
        said = '"{""entity_type"": ""planet"",\n ""entity_id"": ""p""}"'
        content = f'interrogation_key,input\n{KEY},{said}\n{KEY}\n"{KEY}"x,{{}}\n{KEY},{said}\n{KEY},{said}\n'.encode()
    token = token_of(send(operator, content, f"jobs.{form}"))
    bytes_checked, steps = page(operator, token).context["state"].read_bytes, 1
    while cursor := (answer := operator.post(reverse(STEP), {"upload": token}, headers=IN_STEPS).json())["cursor"]:
        assert cursor.isdecimal()
        bytes_checked, steps = bytes_checked + answer["changed"], steps + 1
    state = page(operator, token).context["state"]
    assert (state.good, state.bad) == (3, 2)
    assert bytes_checked + answer["changed"] == len(content)
    assert steps == 4
    queue_all(operator, token, skip_invalid="yes")
    assert Job.objects.count() == 3


@pytest.fixture
def three_jobs_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_state, "MAX_JOBS", 3)


@pytest.mark.usefixtures("three_jobs_at_most")
def test_a_file_of_too_many_jobs_is_told_what_to_do_before_its_end_is_read(sender: Client) -> None:
    token = token_of(send(sender, jsonl(row(1), "bad", row(3), row(4), row(5), "bad", row(7))))
    shown = page(sender, token)
    state = shown.context["state"]
    assert (state.good, state.bad, state.next_line, state.is_checked) == (4, 1, 6, True)
    assert "holds more than 3 jobs" in shown.text
    assert "split it" in shown.text
    assert "manage.py enqueue_jobs" in shown.text
    assert "ended before line 6" in shown.text
    assert "data-queue" not in shown.text
    refused = queue_all(sender, token, skip_invalid="yes")
    assert (refused.status_code, "holds more than 3 jobs" in refused.text) == (409, True)
    assert "cannot be queued" in sender.get(reverse(UPLOAD)).text


@pytest.mark.usefixtures("three_jobs_at_most")
def test_too_many_jobs_are_found_across_steps_and_not_checked_on(
    sender: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_action, "STEP_SECONDS", 0)
    token = token_of(send(sender, jsonl(*map(row, range(9)))))
    steps = 1
    while sender.post(reverse(STEP), {"upload": token}, headers=IN_STEPS).json()["cursor"]:
        steps += 1
    state = page(sender, token).context["state"]
    assert (steps, state.good, state.next_line, state.is_too_long) == (3, 4, 5, True)


@pytest.mark.usefixtures("three_jobs_at_most")
def test_as_many_jobs_as_there_may_be_are_queued_whatever_else_is_in_the_file(operator: Client) -> None:
    token = token_of(send(operator, jsonl(row(1), row(2), row(3), "bad", "")))
    queue_all(operator, token, skip_invalid="yes")
    assert Job.objects.count() == 3


def test_the_form_tells_the_bounds(sender: Client) -> None:
    told = sender.get(reverse(UPLOAD)).text
    assert f"and {number(upload_state.MAX_JOBS)} jobs" in told
    assert "manage.py enqueue_jobs" in told


def test_duplicates_are_reported_with_the_job_that_holds_the_key(operator: Client) -> None:
    token = token_of(send(operator, jsonl(row(1, dedupe_key="k"), row(2, dedupe_key="k"))))
    queue_all(operator, token)
    shown, holder = page(operator, token), Job.objects.get()
    assert (shown.context["state"].queued, shown.context["state"].duplicates) == (1, 1)
    assert reverse("admin:derive_job_change", args=[holder.job_id]) in shown.content.decode()


def test_a_line_that_names_another_actor_is_bad(sender: Client, browse_rolled_back: Browse) -> None:
    mine = browse_rolled_back.people["operator"].username
    shown = page(sender, token_of(send(sender, jsonl(row(1, actor="somebody"), row(2, actor=mine)))))
    assert shown.context["bad"] == [(1, "actor: is not who sends this; leave it out")]


def test_what_is_no_file_of_lines_is_refused_and_not_kept(sender: Client, uploads: Path) -> None:
    for content, why in (
        (b"", "is empty"),
        (b"PK\x03\x04" + b"x" * 50, "zip archive"),
        (b"\x1f\x8b\x08", "is compressed"),
        ("{}".encode("utf-16"), "is UTF-16"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not a text file"),
    ):
        answer = send(sender, content)
        assert (answer.status_code, why in answer.content.decode()) == (400, True)
    assert files(uploads) == []


def test_no_file_at_all_is_said(sender: Client) -> None:
    assert "Choose a file" in sender.post(reverse(UPLOAD), {}).content.decode()


def test_a_file_without_jobs_is_said_and_cannot_be_queued(sender: Client) -> None:
    for content in (b"\n \n", b"\xef\xbb\xbf"):
        token = token_of(send(sender, content))
        assert "holds no jobs" in page(sender, token).content.decode()
        assert queue_all(sender, token).status_code == 409


def test_lines_that_are_not_utf8_are_bad_lines(sender: Client) -> None:
    shown = page(sender, token_of(send(sender, jsonl(row(1)) + b'\n{"input": "\xff"}\n')))
    assert shown.context["bad"] == [(2, "is not UTF-8 (byte 12 of the line)")]


def test_a_file_that_is_too_large_is_refused_while_it_arrives(
    sender: Client, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_handler, "MAX_UPLOAD_BYTES", 100_000)
    answer = send(sender, b"x" * 200_000)
    assert answer.status_code == 413
    assert "is larger than" in answer.content.decode()
    assert files(uploads) == []
    monkeypatch.setattr(upload_views, "MAX_REQUEST_BYTES", 100_000)
    monkeypatch.setattr(upload_views, "UploadHandler", None)  # so much is not even read
    assert send(sender, b"x" * 200_000).status_code == 413


def test_too_many_bad_lines_end_the_check(sender: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_state, "MAX_BAD", 3)
    token = token_of(send(sender, jsonl(row(1), *["bad"] * 5, row(7))))
    state = page(sender, token).context["state"]
    assert (state.good, state.bad, state.next_line) == (1, 3, 5)
    assert queue_all(sender, token, skip_invalid="yes").status_code == 409
    assert not Job.objects.exists()


def test_an_upload_of_somebody_else_is_refused_everywhere(
    sender: Client, browse_rolled_back: Browse, uploads: Path
) -> None:
    token = token_of(send(sender, jsonl(row(1))))
    other = browse_rolled_back("maintainer")
    assert page(other, token).status_code == 403
    assert queue_all(other, token).status_code == 403
    assert other.get(reverse(BAD), {"upload": token}).status_code == 403
    assert other.post(reverse(DISCARD), {"upload": token}).status_code == 403
    assert not page(other, "").context["kept"]
    assert not Job.objects.exists()
    assert "state.json" in files(uploads)


def test_a_token_leads_to_no_other_path(sender: Client, browse_rolled_back: Browse) -> None:
    token_of(send(sender, jsonl(row(1))))
    owner = browse_rolled_back.people["operator"].pk
    wanted = ("../../etc", "/etc/passwd", "0" * 32, 7, None, ["x"])
    signed = [signing.dumps({"owner": owner, "import": one}, salt="upload") for one in wanted]
    for token in ("", "../../etc", signing.dumps({"owner": owner, "import": "0" * 32}, salt="other"), *signed):
        assert page(sender, token).status_code == (404 if token else 200)
        assert queue_all(sender, token).status_code == 409
        assert sender.get(reverse(BAD), {"upload": token}).status_code == 404
        assert sender.post(reverse(DISCARD), {"upload": token}).status_code == 409


def test_nobody_else_on_the_machine_can_look_into_it(sender: Client, uploads: Path) -> None:
    token_of(send(sender, jsonl(row(1), "bad")))
    modes = {one: one.stat().st_mode & 0o777 for one in (uploads, *uploads.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}


def test_what_is_over_is_gone_at_the_next_upload(sender: Client, uploads: Path, browse_rolled_back: Browse) -> None:
    token = token_of(send(sender, jsonl(row(1))))
    (uploads / "arriving-left").write_bytes(b"x")
    long_ago = time.time() - uploads_folder.KEPT_SECONDS - 60
    for path in (*uploads.rglob("state.json"), uploads / "arriving-left"):
        os.utime(path, (long_ago, long_ago))
    assert page(sender, token).status_code == 404
    token_of(send(browse_rolled_back("maintainer"), jsonl(row(2))))
    assert len(list(uploads.rglob("state.json"))) == 1
    assert not (uploads / "arriving-left").exists()


def test_one_user_keeps_no_more_than_so_many(operator: Client, uploads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_folder, "MAX_KEPT", 2)
    first = token_of(send(operator, jsonl(row(1))))
    token_of(send(operator, jsonl(row(2))))
    assert "discard one" in send(operator, jsonl(row(3))).content.decode()
    queue_all(operator, first)
    # One that is queued makes room by itself.
    third = token_of(send(operator, jsonl(row(3))))
    assert len(list(uploads.rglob("state.json"))) == 2
    assert operator.post(reverse(DISCARD), {"upload": third}).status_code == 303
    assert len(list(uploads.rglob("state.json"))) == 1


def test_two_steps_at_once_are_one_and_a_refusal(sender: Client, uploads: Path) -> None:
    token = token_of(send(sender, jsonl(row(1))))
    (state,) = uploads.rglob("state.json")
    with kept_upload.Upload(state.parent, import_id=UUID(state.parent.name)).locked():
        assert "at work" in queue_all(sender, token).text
        assert "at work" in sender.post(reverse(STEP), {"upload": token}, headers=IN_STEPS).json()["error"]
    assert not Job.objects.exists()


def test_without_a_reason_nothing_is_queued(sender: Client) -> None:
    token = token_of(send(sender, jsonl(row(1))))
    answer = queue_all(sender, token, reason=" ")
    assert (answer.status_code, "Give a reason" in answer.content.decode()) == (400, True)
    assert not Job.objects.exists()


def test_uploading_takes_both_acting_and_seeing_payloads(
    sender: Client, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(send(sender, jsonl(row(1))))
    before = files(uploads)
    for lacking in (permissions.ACT_ON_JOBS, permissions.SEE_PAYLOADS):
        permitted = {permissions.VIEW_JOBS, permissions.ACT_ON_JOBS, permissions.SEE_PAYLOADS} - {lacking}
        monkeypatch.setattr(permissions, "may", lambda _request, what, permitted=permitted: what in permitted)
        assert page(sender, token).status_code == 403
        assert send(sender, jsonl(row(1))).status_code == 403
        assert queue_all(sender, token).status_code == 403
        assert sender.get(reverse(BAD), {"upload": token}).status_code == 403
        assert sender.post(reverse(DISCARD), {"upload": token}).status_code == 403
    assert files(uploads) == before
    assert not Job.objects.exists()


@pytest.fixture
def strict(browse_rolled_back: Browse) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(browse_rolled_back.people["operator"], backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_every_form_of_it_needs_the_page_s_own_token(sender: Client, strict: Client, uploads: Path) -> None:
    assert send(strict, jsonl(row(1))).status_code == 403
    assert files(uploads) == []
    token = token_of(send(sender, jsonl(row(1))))
    assert queue_all(strict, token).status_code == 403
    assert strict.post(reverse(DISCARD), {"upload": token}).status_code == 403
    form_token = strict.get(reverse(UPLOAD)).context["csrf_token"]
    assert send(strict, jsonl(row(1)), csrfmiddlewaretoken=str(form_token)).status_code == 303


def test_a_folder_that_cannot_be_used_is_said(sender: Client, uploads: Path) -> None:
    uploads.parent.mkdir(parents=True)
    uploads.write_bytes(b"a file is in its place")
    answer = send(sender, jsonl(row(1)))
    assert (answer.status_code, "ask a maintainer" in answer.content.decode()) == (503, True)


def test_the_preview_tells_of_keys_that_are_held_or_repeated_and_comes_true(
    operator: Client, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_lookup, "MOST_KEYS", 2)
    queued(queue, dedupe_key="k1")
    queue.cancel([ref(queued(queue, dedupe_key="gone"))], actor="ada")
    queued(queue, dedupe_key="k2", interrogation_key="another_v1")
    keys = ["k1", "k1", "k2", "k3", "gone", "k3", "k3", None, None]
    token = token_of(send(operator, jsonl(*(row(n, dedupe_key=key) for n, key in enumerate(keys)))))
    foretold = page(operator, token)
    state = foretold.context["state"]
    assert (state.held_before, state.repeated, state.good) == (2, 2, 9)
    assert "2 have a dedupe key that a live or succeeded job held" in " ".join(foretold.text.split())
    assert "2 repeat the dedupe key of an earlier line" in foretold.text
    queue_all(operator, token)
    after = page(operator, token).context["state"]
    assert after.duplicates == state.held_before + state.repeated


def test_keys_repeated_in_different_steps_are_found(sender: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_action, "STEP_SECONDS", 0.0)
    token = token_of(send(sender, jsonl(*(row(n, dedupe_key=f"k{n % 3}") for n in range(7)))))
    while sender.post(reverse(STEP), {"upload": token}, headers=IN_STEPS).json()["cursor"]:
        pass
    assert page(sender, token).context["state"].repeated == 4


def test_the_preview_warns_of_jobs_without_evidence(sender: Client) -> None:
    evidence = {"items": [{"text": "Ice."}]}
    told = page(sender, token_of(send(sender, jsonl(row(1), row(2), row(3, evidence_ref=evidence)))))
    assert told.context["state"].without_evidence == 2
    assert "2 of them carry no evidence" in told.text


def test_a_file_is_kept_when_the_database_is_away_while_it_is_checked(
    sender: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_keys: Any) -> set[str]:
        raise DatabaseUnavailable("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(key_lookup, "held_keys", away)
        token = token_of(send(sender, jsonl(row(1, dedupe_key="k"))))
        answer = sender.post(reverse(STEP), {"upload": token}, headers=IN_STEPS)
        assert (answer.status_code, "the database is away" in answer.json()["error"]) == (503, True)
    sender.post(reverse(STEP), {"upload": token})
    assert page(sender, token).context["state"].good == 1
