"""Messages of alerts arrive at least once, whatever the receivers do, and tell nobody a secret."""

import hmac
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.urls import get_resolver

from derive.alerts import delivering, destinations
from derive.alerts.delivering import address_messages, deliver_due, send_test, write_test
from derive.alerts.destinations import Mailbox, NotDelivered, Webhook, channels_of
from derive.alerts.letters import AlertLetter
from derive.alerts.settings import AlertSettings, MailServer
from derive.deadline import NO_DEADLINE
from derive.models import Alert, AlertDelivery, AlertDestination, AlertMessage
from derive.models.alerts import AlertEvent, AlertState, DeliveryState
from derive.sql.clock import database_now
from tests.alert_receivers import DROP, HANG, MailReceiver, WebhookReceiver, a_mail_receiver, a_webhook_receiver
from tests.own_authority import OwnAuthority

HOSTILE = 'w\r\nBcc: everybody@example.com\r\n\r\n{"x":1}\u202e\x00</script>"\'\u2028 é'
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRETS = ("a-secret-token", "hush")


@pytest.fixture(scope="session", autouse=True)
def pages_loaded() -> None:
    """Load the pages, to which messages link, while every app is installed: most tests here see ``derive`` alone."""
    assert get_resolver().url_patterns


@pytest.fixture
def webhook() -> Iterator[WebhookReceiver]:
    with a_webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    with a_mail_receiver() as receiver:
        yield receiver


def to_both(webhook: WebhookReceiver | None = None, mail: MailReceiver | None = None, **more: Any) -> AlertSettings:
    server = mail and MailServer(host="127.0.0.1", port=mail.port, security="none", sender="holocron@example.com")
    emails = ("ops@example.com", "lead@example.com") if mail else ()
    known = {"webhook_url": webhook.url if webhook else "", "emails": emails, "mail_server": server}
    return AlertSettings(**{**known, **more})


def an_alert(**values: Any) -> Alert:
    now = database_now()
    known = {"rule_name": "worker-gone", "kind": "worker_gone", "subject": "w1", "state": AlertState.FIRING}
    return Alert.objects.create(
        **{**known, "summary": "worker w1 is gone", "began_utc": now, "fired_utc": now, **values}
    )


def a_message(alert: Alert | None = None, event: AlertEvent = AlertEvent.FIRED, **values: Any) -> AlertMessage:
    alert = alert or an_alert()
    known = {"summary": alert.summary, "made_by": "schedule", "at_utc": database_now()}
    return AlertMessage.objects.create(alert=alert, event=event, **{**known, **values})


def pass_on(alerts: AlertSettings) -> list[str]:
    """Do once what the scheduler does each minute; return the errors."""
    channels = channels_of(alerts)
    address_messages(channels, database_now())
    return [one.error for one in deliver_due(channels, public_url=alerts.public_url, deadline=NO_DEADLINE)]


def let_it_be_due() -> None:
    AlertDelivery.objects.update(next_utc=database_now() - timedelta(seconds=1))


def states() -> list[tuple[str, str]]:
    return list(AlertDelivery.objects.order_by("id").values_list("destination", "state"))


def a_letter(**values: Any) -> AlertLetter:
    known = {"event": AlertEvent.FIRED, "summary": "a test", "at_utc": NOW}
    return AlertLetter(**{"message_id": uuid4(), **known, **values})


def test_a_message_reaches_the_webhook_and_every_address_once(
    empty_queue: None, webhook: WebhookReceiver, mail: MailReceiver
) -> None:
    alert = an_alert()
    message = a_message(alert)
    alerts = to_both(webhook, mail, public_url="https://holocron.example")
    assert pass_on(alerts) == ["", "", ""]
    assert pass_on(alerts) == []
    (posted,) = webhook.posted
    body = json.loads(posted.body)
    page = f"https://holocron.example/admin/derive/alert/{alert.pk}/change/"
    assert posted.path == "/hooks/a-secret-token?key=hush"
    assert posted.headers["webhook-id"] == body["data"]["message_id"] == str(message.message_id)
    assert (body["type"], body["data"]["rule"], body["data"]["url"]) == ("alert.fired", "worker-gone", page)
    assert body["text"] == "[Holocron] Firing: worker-gone: worker w1 is gone"
    assert [one["To"] for one in mail.received] == ["ops@example.com", "lead@example.com"]
    assert {one["Message-ID"] for one in mail.received} == {f"<{message.message_id}@example.com>"}
    assert {one["Subject"] for one in mail.received} == {body["text"]}
    assert page in mail.received[0].get_content()
    assert {state for _name, state in states()} == {DeliveryState.DELIVERED}


def test_without_a_destination_nothing_is_sent_and_nothing_waits(empty_queue: None) -> None:
    message = a_message()
    assert pass_on(AlertSettings()) == []
    message.refresh_from_db()
    assert message.addressed_utc is not None
    assert states() == []


def test_a_receiver_that_fails_is_asked_again_later_with_the_same_bytes(
    empty_queue: None, webhook: WebhookReceiver
) -> None:
    a_message()
    webhook.answers = [500, 503, 200]
    alerts = to_both(webhook)
    assert pass_on(alerts) == ["answered 500"]
    assert pass_on(alerts) == []  # it is not due yet
    first = AlertDelivery.objects.get()
    assert first.next_utc is not None
    assert timedelta(seconds=20) < first.next_utc - database_now() < timedelta(seconds=40)
    let_it_be_due()
    assert pass_on(alerts) == ["answered 503"]
    let_it_be_due()
    assert pass_on(alerts) == [""]
    done = AlertDelivery.objects.get()
    assert (done.state, done.attempts, done.last_error) == (DeliveryState.DELIVERED, 3, "")
    assert len({(one.body, one.headers["webhook-id"]) for one in webhook.posted}) == 1


def test_a_crash_between_sending_and_recording_sends_again_under_the_same_id(
    empty_queue: None, webhook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_message()
    alerts = to_both(webhook)

    def die(*_args: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(delivering, "_record", die)
    with pytest.raises(SystemExit):
        pass_on(alerts)
    assert [state for _name, state in states()] == [DeliveryState.WAITING]
    monkeypatch.undo()
    assert pass_on(alerts) == [""]
    assert len(webhook.posted) == 2
    assert len({one.headers["webhook-id"] for one in webhook.posted}) == 1
    assert [state for _name, state in states()] == [DeliveryState.DELIVERED]


def test_a_crash_while_messages_are_addressed_addresses_them_once(
    empty_queue: None, webhook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = a_message()

    def die(*_args: Any, **_options: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(AlertDelivery.objects, "bulk_create", die)
        with pytest.raises(SystemExit):
            pass_on(to_both(webhook))
    message.refresh_from_db()
    assert message.addressed_utc is None
    assert pass_on(to_both(webhook)) == [""]
    assert pass_on(to_both(webhook)) == []
    assert len(webhook.posted) == 1


def test_a_redirect_of_the_webhook_is_not_followed(empty_queue: None, webhook: WebhookReceiver) -> None:
    a_message()
    with a_webhook_receiver() as elsewhere:
        webhook.answers, webhook.location = [307], elsewhere.url
        assert pass_on(to_both(webhook)) == ["answered 307; redirects are not followed"]
        assert elsewhere.posted == []


@pytest.mark.parametrize(
    ("answer", "why"), [(HANG, "no answer within"), (DROP, "the connection failed (ServerDisconnectedError)")]
)
def test_a_webhook_that_does_not_answer_is_left_after_a_while(
    answer: str, why: str, webhook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer == HANG:
        monkeypatch.setattr(destinations, "WEBHOOK_SECONDS", 0.2)
    webhook.answers = [answer]
    with pytest.raises(NotDelivered) as caught:
        Webhook(webhook.url).send(a_letter(), NOW)
    assert why in str(caught.value)
    assert caught.value.is_unreachable


def test_who_is_unreachable_is_tried_once_a_minute_and_keeps_nobody_else_waiting(
    empty_queue: None, mail: MailReceiver
) -> None:
    with a_webhook_receiver() as webhook:
        pass
    for name in ("w1", "w2", "w3"):
        a_message(an_alert(subject=name))
    errors = pass_on(to_both(webhook, mail))
    (error,) = [one for one in errors if one]
    assert error.startswith("cannot be reached: ")
    assert len(mail.received) == 6
    assert sorted(attempts for attempts in AlertDelivery.objects.values_list("attempts", flat=True)) == [0, 0, *[1] * 7]


def test_much_that_waits_for_one_destination_keeps_no_other_waiting(
    empty_queue: None, webhook: WebhookReceiver, mail: MailReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "MAX_AT_ONCE", 2)
    for name in ("w1", "w2", "w3"):
        a_message(an_alert(subject=name))
    webhook.answers = [500] * 9
    alerts = to_both(webhook, mail)
    for _minute in range(3):
        pass_on(alerts)
    assert len(mail.received) == 6


def test_resolved_never_overtakes_fired(empty_queue: None, webhook: WebhookReceiver) -> None:
    alert = an_alert()
    a_message(alert)
    webhook.answers = [500]
    alerts = to_both(webhook)
    pass_on(alerts)
    a_message(alert, AlertEvent.RESOLVED)
    assert pass_on(alerts) == []
    let_it_be_due()
    assert pass_on(alerts) == ["", ""]
    kinds = [json.loads(one.body)["type"] for one in webhook.posted]
    assert kinds == ["alert.fired", "alert.fired", "alert.resolved"]


def test_after_a_day_a_message_is_given_up(empty_queue: None, webhook: WebhookReceiver) -> None:
    a_message(at_utc=database_now() - timedelta(days=1, seconds=1))
    webhook.answers = [500]
    assert pass_on(to_both(webhook)) == ["answered 500"]
    gone = AlertDelivery.objects.get()
    assert (gone.state, gone.attempts, gone.next_utc) == (DeliveryState.GIVEN_UP, 1, None)
    assert pass_on(to_both(webhook)) == []


def test_a_pause_from_before_the_clock_was_put_back_keeps_nothing_waiting(
    empty_queue: None, webhook: WebhookReceiver
) -> None:
    a_message()
    webhook.answers = [500]
    pass_on(to_both(webhook))
    AlertDelivery.objects.update(next_utc=database_now() + timedelta(days=3))
    assert pass_on(to_both(webhook)) == [""]


def test_a_row_that_names_another_destination_is_never_sent_there(empty_queue: None, webhook: WebhookReceiver) -> None:
    with a_webhook_receiver() as elsewhere:
        message = a_message()
        AlertDelivery.objects.create(message=message, destination=elsewhere.url)
        AlertDelivery.objects.create(message=message, destination="stranger@example.com")
        AlertDestination.objects.create(name=elsewhere.url)
        pass_on(to_both(webhook))
        assert elsewhere.posted == []
    assert sorted(state for _name, state in states()) == [DeliveryState.DELIVERED, *[DeliveryState.GIVEN_UP] * 2]
    assert AlertDestination.objects.get().name == f"webhook {webhook.url.partition('/hooks')[0]}"


def test_hostile_names_break_neither_headers_nor_json(
    empty_queue: None, webhook: WebhookReceiver, mail: MailReceiver
) -> None:
    a_message(an_alert(subject=HOSTILE.replace("\x00", ""), summary=f"worker {HOSTILE} is gone".replace("\x00", "")))
    assert pass_on(to_both(webhook, mail)) == ["", "", ""]
    body = json.loads(webhook.posted[0].body)
    assert "⟨U+202E⟩" in body["data"]["subject"]
    assert body["text"].isprintable()
    received = mail.received[0]
    assert "Bcc" not in received
    assert received["Subject"].isprintable()
    # A folded line begins with a blank.
    assert received["Subject"].strip() == body["text"]
    assert "\r\nBcc" not in received.get_content()


def test_no_secret_is_in_a_row_a_log_or_an_error(
    empty_queue: None, webhook: WebhookReceiver, mail: MailReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    alerts = to_both(webhook, mail, webhook_key=b"hush-hush-hush-hush")
    webhook.answers = [500, 404]
    a_message()
    pass_on(alerts)
    let_it_be_due()
    pass_on(alerts)
    rows = [*AlertDelivery.objects.values_list(), *AlertDestination.objects.values_list(), *states()]
    said = f"{rows} {caplog.text} {[vars(record) for record in caplog.records]} {alerts!r}"
    for secret in SECRETS:
        assert secret not in said


def test_the_signature_is_the_standard_one(webhook: WebhookReceiver) -> None:
    # The example of the specification's own libraries: https://www.standardwebhooks.com
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    letter, now = a_letter(), NOW
    Webhook(webhook.url, key).send(letter, now)
    (posted,) = webhook.posted
    signed = f"{letter.message_id}.{int(now.timestamp())}.".encode() + posted.body
    expected = b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert posted.headers["webhook-timestamp"] == str(int(now.timestamp()))
    assert posted.headers["webhook-signature"] == f"v1,{expected}"
    Webhook(webhook.url).send(letter, now)
    assert "webhook-signature" not in webhook.posted[1].headers


def test_an_address_that_the_mail_server_refuses_does_not_keep_the_others_waiting(
    empty_queue: None, mail: MailReceiver
) -> None:
    mail.refused.add("ops@example.com")
    a_message()
    assert pass_on(to_both(mail=mail)) == ["the mail server refused the address (550)", ""]
    assert [one["To"] for one in mail.received] == ["lead@example.com"]


# What aiosmtpd warns of is what is wanted here: a server that is served from this machine alone.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
def test_the_log_in_of_the_mail_server_is_used_and_its_refusal_told_without_the_password() -> None:
    with a_mail_receiver(password="the password") as mail:
        server = MailServer(
            host="127.0.0.1",
            port=mail.port,
            security="none",
            sender="h@example.com",
            user="ada",
            password="the password",
        )
        Mailbox(server, "ops@example.com").send(a_letter(), NOW)
        assert len(mail.received) == 1
        with pytest.raises(NotDelivered) as caught:
            Mailbox(replace(server, password="hush"), "ops@example.com").send(a_letter(), NOW)
    assert str(caught.value) == "the mail server refused the log-in (535)"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_no_message_goes_to_a_mail_server_without_the_encryption_that_was_asked_for(
    mail: MailReceiver, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "MAIL_SECONDS", 5.0)
    server = MailServer(host="127.0.0.1", port=mail.port, security=security, sender="h@example.com")
    with pytest.raises(NotDelivered):
        Mailbox(server, "ops@example.com").send(a_letter(), NOW)
    assert mail.received == []


def test_a_message_is_sent_by_starttls_to_a_server_whose_certificate_is_trusted_and_to_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = OwnAuthority(tmp_path)
    with a_mail_receiver(starttls=authority.server()) as mail:
        server = MailServer(host="127.0.0.1", port=mail.port, security="starttls", sender="h@example.com")
        with pytest.raises(NotDelivered, match="no trusted TLS connection to the mail server"):
            Mailbox(server, "ops@example.com").send(a_letter(), NOW)
        assert mail.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        Mailbox(server, "ops@example.com").send(a_letter(), NOW)
        assert len(mail.received) == 1


def test_a_mail_server_that_is_not_there_is_told_in_words() -> None:
    with a_mail_receiver() as mail:
        pass
    server = MailServer(host="127.0.0.1", port=mail.port, security="none", sender="h@example.com")
    with pytest.raises(NotDelivered, match="the mail server cannot be used: Connection refused") as caught:
        Mailbox(server, "ops@example.com").send(a_letter(), NOW)
    assert caught.value.is_unreachable


def test_a_certificate_of_nobody_known_is_refused(tmp_path: Path) -> None:
    with a_webhook_receiver(OwnAuthority(tmp_path).server()) as webhook:
        with pytest.raises(NotDelivered, match="is not trusted"):
            Webhook(webhook.url).send(a_letter(), NOW)
        assert webhook.posted == []


def test_a_test_goes_out_at_once_and_the_scheduler_sends_it_no_second_time(
    empty_queue: None, webhook: WebhookReceiver, mail: MailReceiver
) -> None:
    alerts = to_both(webhook, mail)
    webhook.answers = [500]
    channels = channels_of(alerts)
    results = send_test(channels, made_by="ada", public_url="")
    assert [one.error for one in results] == ["answered 500", "", ""]
    assert pass_on(alerts) == []
    let_it_be_due()
    assert pass_on(alerts) == [""]
    assert {json.loads(one.body)["type"] for one in webhook.posted} == {"alert.test"}
    assert len(mail.received) == 2


def test_a_test_that_was_asked_for_on_a_page_is_sent_by_the_scheduler(
    empty_queue: None, webhook: WebhookReceiver
) -> None:
    write_test("ada")
    assert pass_on(to_both(webhook)) == [""]
    assert json.loads(webhook.posted[0].body)["data"]["alert_id"] is None
