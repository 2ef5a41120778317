"""httpx's transport, which sends a request again when a kept connection was closed just as it was used."""

import ssl
from typing import Any

import httpx

_CLOSED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class ResendingTransport:
    """Keeps connections; a request that meets one closed by the server, with no answer begun, gets a new one, once.

    A server, or a proxy before it, may close a connection in the moment in which the next request is on its way. Such a
    request was not worked on, as far as HTTP can tell. On a new connection the same means that the server failed.
    """

    def __init__(self, *, verify: ssl.SSLContext | bool, connections: int, keepalive_seconds: float) -> None:
        self._kept = httpx.AsyncHTTPTransport(
            verify=verify,
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=keepalive_seconds,
            ),
            trust_env=False,
        )
        self._new = httpx.AsyncHTTPTransport(
            verify=verify,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=0),
            trust_env=False,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the response once its head is here; raises httpx's errors."""
        is_new = False

        async def hear(event: str, _: dict[str, Any]) -> None:
            nonlocal is_new
            is_new = is_new or event == "connection.connect_tcp.started"

        request.extensions = {**request.extensions, "trace": hear}
        try:
            return await self._kept.handle_async_request(request)
        except _CLOSED:
            if is_new:
                raise
        return await self._new.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._kept.aclose()
        await self._new.aclose()
