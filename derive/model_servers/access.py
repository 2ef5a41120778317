"""Who is asked and who asks: the server's certificate, and the credentials that go with every request."""

import ssl
from base64 import b64decode

import httpx
from pydantic import SecretStr

from derive.errors import ConfigurationError

_SHORTEST_SECRET = 4
"""A shorter password would be cut out of every other word."""


def trusted_by(base_url: httpx.URL, *, ca_file: str | None, setting: str) -> ssl.SSLContext | None:
    """Return what judges the server's certificate; raise ConfigurationError for a file that holds no authority.

    ``setting`` is what that error calls the file.

    Without a file: the authorities of httpx, of the system, and of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, which
    OpenSSL reads. None for http, where no certificate is ever shown: reading authorities takes 25 ms, a good
    part of a worker's start, and few models are behind https.
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
    """The Authorization header's value, and the removal of its secret from what a server says."""

    def __init__(self, authorization: SecretStr | None) -> None:
        self._authorization = authorization
        self._secrets = _secrets_in(authorization.get_secret_value()) if authorization else ()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that prove who asks; empty without credentials."""
        return {"authorization": self._authorization.get_secret_value()} if self._authorization else {}

    def removed_from(self, said: bytes) -> bytes:
        """Return the text without the secret, which a proxy may repeat when it refuses it."""
        for secret in self._secrets:
            said = said.replace(secret, b"***")
        return said


def _secrets_in(authorization: str) -> tuple[bytes, ...]:
    scheme, _, token = authorization.partition(" ")
    secrets = [token.encode()]
    if scheme == "Basic":
        secrets.append(b64decode(token).partition(b":")[2])
    return tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
