"""Where the settings say that alerts go, and how each of these takes a message."""

import asyncio
import contextlib
import hmac
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from hashlib import sha256
from urllib.parse import urlsplit

import aiohttp
from django.core.mail import EmailMessage, get_connection

from derive.alerts.letters import AlertLetter
from derive.alerts.settings import AlertSettings, MailServer
from derive.models.alerts import ERROR_CHARACTERS
from derive.visible_text import cell

WEBHOOK_SECONDS = 10.0
"""From the connection to the answer's headers, all in all."""
MAIL_SECONDS = 10.0
"""Each step of the conversation with the mail server."""
USER_AGENT = "Holocron alerts"
_SMTP = "django.core.mail.backends.smtp.EmailBackend"


class NotDelivered(Exception):
    """A destination did not take a message; the text says why, without a secret, on one line.

    ``is_unreachable``: whoever goes the same way would fare alike.
    """

    def __init__(self, why: str, *, is_unreachable: bool) -> None:
        super().__init__(cell(why, ERROR_CHARACTERS))
        self.is_unreachable = is_unreachable


@dataclass(frozen=True)
class AlertChannel:
    """One destination. ``way``: destinations of one way are unreachable together; ``send`` raises NotDelivered."""

    name: str
    way: str
    send: Callable[[AlertLetter, datetime], None] = field(compare=False)


def channels_of(alerts: AlertSettings) -> tuple[AlertChannel, ...]:
    """Return the destinations of the settings; the webhook is named by its host, since the rest may hold a token."""
    found = []
    if alerts.webhook_url:
        webhook = Webhook(alerts.webhook_url, alerts.webhook_key)
        found.append(AlertChannel(webhook.name, "webhook", webhook.send))
    server = alerts.mail_server
    if server is not None:
        found += [AlertChannel(address, "mail", Mailbox(server, address).send) for address in alerts.emails]
    return tuple(found)


@dataclass(frozen=True)
class Webhook:
    """A URL to which messages are posted, signed as https://www.standardwebhooks.com has it."""

    url: str = field(repr=False)
    key: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """Its scheme, host and port."""
        parts = urlsplit(self.url)
        return f"webhook {parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def send(self, letter: AlertLetter, now: datetime) -> None:
        """Post a message; any answer but 2xx raises NotDelivered. Redirects are not followed, no proxy is used."""
        body = letter.json_bytes()
        try:
            status = asyncio.run(_post(self.url, body, self.headers(letter, body, now)))
        except TimeoutError:
            raise NotDelivered(f"no answer within {WEBHOOK_SECONDS:.0f} s", is_unreachable=True) from None
        except aiohttp.ClientConnectorCertificateError:
            raise NotDelivered("its certificate is not trusted", is_unreachable=True) from None
        except aiohttp.ClientConnectorError as error:
            # Only the system's own words: the rest of the message may be of the URL.
            why = error.os_error.strerror or type(error.os_error).__name__
            raise NotDelivered(f"cannot be reached: {why}", is_unreachable=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDelivered(f"the connection failed ({type(error).__name__})", is_unreachable=True) from None
        if 300 <= status < 400:
            raise NotDelivered(f"answered {status}; redirects are not followed", is_unreachable=False)
        if not 200 <= status < 300:
            raise NotDelivered(f"answered {status}", is_unreachable=False)

    def headers(self, letter: AlertLetter, body: bytes, now: datetime) -> dict[str, str]:
        """Return the message's id, the time of this attempt, and with a key the signature over both and the body."""
        stamp = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": str(letter.message_id),
            "webhook-timestamp": stamp,
        }
        if self.key:
            signed = hmac.new(self.key, f"{letter.message_id}.{stamp}.".encode() + body, sha256).digest()
            headers["webhook-signature"] = f"v1,{b64encode(signed).decode()}"
        return headers


async def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    limit = aiohttp.ClientTimeout(total=WEBHOOK_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=limit, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
    ):
        # Its body is of no interest, however long it is.
        return answer.status


@dataclass(frozen=True)
class Mailbox:
    """An address, and the server that brings e-mail there."""

    server: MailServer
    address: str

    def send(self, letter: AlertLetter, _now: datetime) -> None:
        """Hand a message to the mail server; raises NotDelivered."""
        server = self.server
        connection = get_connection(
            _SMTP,
            host=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.security == "starttls",
            use_ssl=server.security == "tls",
            timeout=MAIL_SECONDS,
        )
        mail = EmailMessage(
            subject=f"[Holocron] {letter.subject_line}",
            body=letter.plain_text(),
            from_email=server.sender,
            to=[self.address],
            headers=self.headers(letter),
            connection=connection,
        )
        try:
            mail.send()
        except (OSError, MessageError, ValueError) as error:
            raise _refusal(error) from None
        finally:
            # Django leaves a connection open that failed before it could be used.
            with contextlib.suppress(OSError):
                connection.close()

    def headers(self, letter: AlertLetter) -> dict[str, str]:
        """Return the message's id, which all copies share, and the alert's, which keeps its messages together."""
        domain = self.server.sender.rpartition("@")[2]
        headers = {"Message-ID": f"<{letter.message_id}@{domain}>", "Auto-Submitted": "auto-generated"}
        if letter.alert_id is not None:
            headers["References"] = f"<alert-{letter.alert_id}@{domain}>"
        return headers


def _refusal(error: Exception) -> NotDelivered:
    """Say in words why an e-mail was not taken; of a server's own, which may repeat what it was told, only the code."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = ", ".join(str(code) for code, _said in error.recipients.values())
        return NotDelivered(f"the mail server refused the address ({codes})", is_unreachable=False)
    if isinstance(error, smtplib.SMTPResponseException):
        what = "the log-in" if isinstance(error, smtplib.SMTPAuthenticationError) else "the message"
        return NotDelivered(f"the mail server refused {what} ({error.smtp_code})", is_unreachable=True)
    if isinstance(error, ssl.SSLError):
        return NotDelivered("no trusted TLS connection to the mail server", is_unreachable=True)
    if isinstance(error, TimeoutError):
        return NotDelivered(f"the mail server was silent for {MAIL_SECONDS:.0f} s", is_unreachable=True)
    if isinstance(error, OSError):
        # So are all other errors of smtplib.
        why = error.strerror or type(error).__name__
        return NotDelivered(f"the mail server cannot be used: {why}", is_unreachable=True)
    return NotDelivered(f"not a valid e-mail ({type(error).__name__})", is_unreachable=False)
