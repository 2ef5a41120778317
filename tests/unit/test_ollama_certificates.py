import ssl

import pytest

from derive.ollama.client import OllamaClient
from derive.ollama.settings import OllamaSettings


@pytest.mark.parametrize(("scheme", "believes_some"), [("https", True), ("http", False)])
def test_every_certificate_is_checked_and_authorities_are_read_only_where_one_is_shown(
    scheme: str, believes_some: bool
) -> None:
    client = OllamaClient(OllamaSettings(base_url=f"{scheme}://127.0.0.1:11434"), slots=1)
    context = client._transport._kept._pool._ssl_context
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert bool(context.cert_store_stats()["x509_ca"]) == believes_some
