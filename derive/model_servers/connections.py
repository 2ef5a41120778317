"""Kept HTTP connections to one server: exact bytes out, the body as it comes in.

aiohttp carries them: a call costs a quarter of the processor time that it costs with httpx's own transport, which looks
through all of its connections at each request. Errors are httpx's, which ``failures`` knows.
"""

import ssl
from collections.abc import Mapping
from types import SimpleNamespace

import aiohttp
import httpx
from yarl import URL

MAX_HEAD_BYTES = 64 * 1024
"""Of a line of a head or a trailer."""
BUFFER_BYTES = 64 * 1024
"""Of a body that nobody has read yet: the server waits from here on."""


class Connections:
    """Keeps connections; a request that meets one closed by the server, with no answer begun, is sent on another.

    A server, or a proxy before it, may close a connection in the moment in which the next request is on its way. Such a
    request was not worked on, as far as HTTP can tell. On a new connection the same means that the server failed; a GET
    is repeated even then, once, by aiohttp itself.

    ``tls`` judges the server's certificate, ``headers`` go with every request. No redirects, no cookies, no proxies or
    passwords of the environment. Used in one event loop; as many connections as there are calls at a time.
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

    async def send(self, method: str, path: str, body: bytes | None) -> "Response":
        """Send a request and return the response once its head is here; whoever takes it closes it.

        Raises httpx's ConnectError, ConnectTimeout, ReadError and RemoteProtocolError.
        """
        if self._session is None:
            self._session = self._open()
        url = URL(self._base_url + path, encoded=True)
        tried = _Try()
        while True:
            tried.is_kept = False
            try:
                answer = await self._session.request(
                    method, url, data=body, allow_redirects=False, trace_request_ctx=tried
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                # Other kept connections may be closed as well: each is left, up to one that is new.
                if tried.is_kept:
                    continue
                raise _as_httpx(error) from _origin(error)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise _as_httpx(error) from _origin(error)
            return Response(answer)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        watch = aiohttp.TraceConfig()
        watch.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=self.tls if self.tls is not None else False, keepalive_timeout=self._keepalive_seconds
            ),
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
    """An answer whose head is here. ``close`` gives its connection back, or closes it in the middle of the body."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.status_code = answer.status
        self.headers = {name.lower(): value for name, value in answer.headers.items()}
        self._answer = answer

    @property
    def has_ended(self) -> bool:
        """Whether all of the body has come, read or not."""
        return self._answer.content.is_eof()

    async def read_some(self) -> bytes:
        """Return what has come of the body since, waiting for at least one byte; b"" when the body has ended.

        Raises httpx's ReadError and RemoteProtocolError.
        """
        try:
            return await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _as_httpx(error) from error

    def close(self) -> None:
        """Let go of the connection; may be repeated."""
        self._answer.close()


class _Try:
    """What is known of a request's last try: whether its connection had been used before."""

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
    """Return what a failed connection failed by, where aiohttp wraps it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
