"""Persistent HTTP connections to one server, which send exact bytes and return the body as it arrives.

They use aiohttp, which takes a quarter of the processor time of httpx's transport per call, because the latter scans
all its connections for each request. Errors are httpx's, which ``failures`` maps.
"""

import ssl
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
from yarl import URL

MAX_HEAD_BYTES = 64 * 1024
"""Limit of a line in a head or a trailer."""
BUFFER_BYTES = 64 * 1024
"""Limit of unread bytes of a body; beyond it the server has to wait."""


class Connections:
    """A pool of connections that resends a request if the server closed its reused connection before answering.

    A server or proxy may close an idle connection just as the next request is sent; as far as HTTP can tell, that
    request was not processed. It is resent once, on a new connection, because other idle ones may be closed as well.
    There the same event means that the server failed, although aiohttp itself repeats a GET once even then.

    ``tls`` verifies the server's certificate; ``headers`` are sent with every request. There are no redirects, cookies,
    proxies or passwords from the environment. Used in one event loop, with one connection per concurrent call.
    """

    def __init__(
        self,
        base_url: httpx.URL,
        *,
        tls: ssl.SSLContext | None,
        headers: Mapping[str, str],
        connect_seconds: float,
        keepalive_seconds: float,
    ) -> None:
        self.tls = tls
        self._base_url = str(base_url).rstrip("/")
        self._headers = dict(headers)
        self._connect_seconds = connect_seconds
        self._keepalive_seconds = keepalive_seconds
        self._session: aiohttp.ClientSession | None = None
        self._unkept: aiohttp.ClientSession | None = None
        """For resent requests: each on a new connection."""

    async def send(self, method: str, path: str, body: bytes | None) -> "Response":
        """Send a request and return the response once its head has arrived; the caller closes it.

        Raises httpx's ConnectError, ConnectTimeout, ReadError and RemoteProtocolError.
        """
        if self._session is None:
            self._session = self._open(keepalive_timeout=self._keepalive_seconds)
        url = URL(self._base_url + path, encoded=True)
        tried = _Try()
        session = self._session
        while True:
            try:
                answer = await session.request(method, url, data=body, allow_redirects=False, trace_request_ctx=tried)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if tried.is_kept and session is self._session:
                    session = self._unkept = self._unkept or self._open(force_close=True)
                    continue
                raise _as_httpx(error) from _origin(error)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise _as_httpx(error) from _origin(error)
            return Response(answer)

    async def aclose(self) -> None:
        """Close every connection."""
        for session in (self._session, self._unkept):
            if session is not None:
                await session.close()

    def _open(self, **connector: Any) -> aiohttp.ClientSession:
        watch = aiohttp.TraceConfig()
        watch.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.tls if self.tls is not None else False, **connector),
            headers=self._headers,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_seconds),
            read_bufsize=BUFFER_BYTES,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            trace_configs=[watch],
        )


class Response:
    """A response whose head has arrived. ``close`` releases its connection, or closes it if the body is incomplete."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.status_code = answer.status
        self.headers = {name.lower(): value for name, value in answer.headers.items()}
        self._answer = answer

    @property
    def has_ended(self) -> bool:
        """Whether the whole body has arrived, even if it has not been read."""
        return self._answer.content.is_eof()

    async def read_some(self) -> bytes:
        """Return the next bytes of the body, waiting for at least one; b"" at its end.

        Raises httpx's ReadError and RemoteProtocolError.
        """
        try:
            return await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _as_httpx(error) from error

    def close(self) -> None:
        """Release the connection; may be repeated."""
        self._answer.close()


class _Try:
    """State of a request's latest attempt: whether its connection had been used before."""

    is_kept = False


async def _note_reuse(_session: object, context: SimpleNamespace, _parameters: object) -> None:
    context.trace_request_ctx.is_kept = True


def _as_httpx(error: Exception) -> httpx.TransportError:
    if isinstance(error, (aiohttp.ServerTimeoutError, TimeoutError)):
        return httpx.ConnectTimeout(str(error) or "no connection in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return httpx.ConnectError(str(_origin(error)))
    if isinstance(error, OSError) and not isinstance(error, aiohttp.ServerDisconnectedError):
        return httpx.ReadError(str(error))
    return httpx.RemoteProtocolError(str(error) or type(error).__name__)


def _origin(error: Exception) -> Exception:
    """Return the cause of a failed connection that aiohttp's error wraps."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
