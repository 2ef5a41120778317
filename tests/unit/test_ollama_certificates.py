import ssl

from derive.model_servers.settings import ModelSettings
from derive.ollama.client import OllamaClient


def test_every_certificate_is_checked() -> None:
    tls = OllamaClient(ModelSettings(base_url="https://127.0.0.1:11434"))._connections.tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls.cert_store_stats()["x509_ca"] > 0


def test_authorities_are_not_read_where_no_certificate_is_shown() -> None:
    assert OllamaClient(ModelSettings(base_url="http://127.0.0.1:11434"))._connections.tls is None
