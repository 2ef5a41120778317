"""Authentication both ways: the server's certificate, and the credentials sent with every request."""

import ssl
from base64 import b64decode

import httpx
from pydantic import SecretStr

from derive.errors import ConfigurationError

_SHORTEST_SECRET = 4
"""Secrets shorter than this are not removed from texts, since they would match parts of ordinary words."""


def trusted_by(base_url: httpx.URL, *, ca_file: str | None, setting: str) -> ssl.SSLContext | None:
    """Return the TLS context for the server; raise ConfigurationError if the file contains no authority.

    ``setting`` is the name of the file's setting in that error. Without a file, the authorities are those of httpx, of
    the system, and of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, which OpenSSL reads. Returns None for http, because
    loading authorities takes 25 ms, a good part of a worker's start.
    """
    if base_url.scheme != "https":
        return None
    if ca_file is None:
        context = httpx.create_ssl_context(trust_env=False)
        context.load_default_certs()
        return context
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        why = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(f"{setting}: {ca_file} cannot be used: {why}") from error


class Credentials:
    """The value of the Authorization header, which can also remove its secret from a server's messages."""

    def __init__(self, authorization: SecretStr | None) -> None:
        self._authorization = authorization
        self._secrets = _secrets_in(authorization.get_secret_value()) if authorization else ()

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send; empty without credentials."""
        return {"authorization": self._authorization.get_secret_value()} if self._authorization else {}

    def removed_from(self, said: bytes) -> bytes:
        """Return the text without the secret, which a proxy may repeat when it rejects the request."""
        for secret in self._secrets:
            said = said.replace(secret, b"***")
        return said


def _secrets_in(authorization: str) -> tuple[bytes, ...]:
    scheme, _, token = authorization.partition(" ")
    secrets = [token.encode()]
    if scheme == "Basic":
        secrets.append(b64decode(token).partition(b":")[2])
    return tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
