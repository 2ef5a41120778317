"""A web server and a mail server that alerts are really sent to, each doing what a test tells it."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage as ReceivedMail
from email.policy import default as modern
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

START_SECONDS = 30
HANG, DROP = "hang", "drop"
"""Never answer; close the connection unanswered."""


@dataclass(frozen=True)
class Posted:
    """A request as it arrived; the names of headers in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebhookReceiver:
    """What arrived, and what is answered next: status codes, HANG or DROP; 204 when nothing is left to answer."""

    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    answers: list[int | str] = field(default_factory=list)
    location: str = ""
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def a_webhook_receiver(tls: ssl.SSLContext | None = None) -> Iterator[WebhookReceiver]:
    """Serve on a free port of this machine, with a certificate where one is given."""
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.posted.append(Posted(self.path, headers, body))
            answer = receiver.answers.pop(0) if receiver.answers else 204
            if answer == HANG:
                receiver.released.wait(START_SECONDS)
            if isinstance(answer, str):
                self.close_connection = True
                return
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/hooks/a-secret-token?key=hush"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield receiver
        finally:
            receiver.released.set()
            server.shutdown()
            serving.join()


@dataclass
class MailReceiver:
    """What arrived, and which addresses are refused; with a password only who knows it may send."""

    port: int = 0
    received: list[ReceivedMail] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    password: str = ""

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        if address in self.refused:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        message = message_from_bytes(envelope.content, policy=modern)
        assert isinstance(message, ReceivedMail)
        self.received.append(message)
        return "250 taken"

    def check(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, said: Any) -> AuthResult:
        return AuthResult(success=said.password.decode() == self.password, handled=False)


@contextmanager
def a_mail_receiver(password: str = "", starttls: ssl.SSLContext | None = None) -> Iterator[MailReceiver]:
    """Serve SMTP on a free port of this machine, in a loop of its own; with a certificate it offers STARTTLS."""
    receiver, ready, loop = MailReceiver(password=password), threading.Event(), asyncio.new_event_loop()

    talks: list[SMTP] = []

    def protocol() -> SMTP:
        known = {"auth_required": True, "auth_require_tls": False, "authenticator": receiver.check}
        wants: dict[str, Any] = known if password else {}
        talks.append(
            SMTP(receiver, hostname="localhost", enable_SMTPUTF8=True, loop=loop, tls_context=starttls, **wants)
        )
        return talks[-1]

    async def serve(ended: asyncio.Event) -> None:
        server = await loop.create_server(protocol, "127.0.0.1", 0)
        receiver.port = server.sockets[0].getsockname()[1]
        ready.set()
        await ended.wait()
        server.close()
        for talk in talks:
            if isinstance(talk.transport, asyncio.Transport):
                talk.transport.abort()
        # Their sockets are closed by the loop's next rounds.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    ended = asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(ended))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    serving = threading.Thread(target=run)
    serving.start()
    try:
        assert ready.wait(START_SECONDS)
        yield receiver
    finally:
        loop.call_soon_threadsafe(ended.set)
        serving.join()
