"""Where alerts go, as the environment says: what belongs together, files of secrets, one line for what is wrong."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from derive.alerts.destinations import channels_of
from holocron.alert_settings import read_alert_settings
from holocron.environment import SettingsError, read_environment

MAIL = {"ALERT_EMAILS": "ops@example.com", "EMAIL_HOST": "smtp.example.com", "EMAIL_FROM": "h@example.com"}
HOOK = {"ALERT_WEBHOOK_URL": "https://hooks.example.com/T0/hush?key=hush"}


def read(folder: Path = Path("/"), /, **environment: str) -> Any:
    return read_alert_settings(read_environment(environment), folder=folder)


def test_nothing_set_is_no_destination() -> None:
    assert channels_of(read()) == ()


def test_a_webhook_is_named_by_its_host_alone() -> None:
    url = "https://ada:hush@hooks.example.com:8443/T0/hush?key=hush"
    (channel,) = channels_of(read(ALERT_WEBHOOK_URL=url))
    assert channel.name == "webhook https://hooks.example.com:8443"
    assert "hush" not in repr(read(ALERT_WEBHOOK_URL=url, ALERT_WEBHOOK_SECRET="hush" * 4))


@pytest.mark.parametrize(
    ("security", "given", "port"),
    [("starttls", "", 587), ("tls", "", 465), ("none", "", 25), ("starttls", "2525", 2525)],
)
def test_the_mail_servers_port_follows_its_security(security: str, given: str, port: int) -> None:
    server = read(**MAIL, EMAIL_SECURITY=security, EMAIL_PORT=given).mail_server
    assert (server.host, server.port, server.security) == ("smtp.example.com", port, security)


def test_each_address_is_a_destination_once() -> None:
    alerts = read(**MAIL | {"ALERT_EMAILS": " a@example.com, b@example.com ,a@example.com,"})
    assert [channel.name for channel in channels_of(alerts)] == ["a@example.com", "b@example.com"]


def test_a_secret_with_the_base64_prefix_is_decoded() -> None:
    key = bytes(range(24))
    assert read(**HOOK, ALERT_WEBHOOK_SECRET=f"whsec_{b64encode(key).decode()}").webhook_key == key
    assert read(**HOOK, ALERT_WEBHOOK_SECRET="a plain secret of some length").webhook_key.startswith(b"a plain")


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    for name, text in {"url": HOOK["ALERT_WEBHOOK_URL"], "secret": "s" * 16, "password": " p "}.items():
        (tmp_path / name).write_text(f"{text}\nnot read\n", "utf-8")
    files = {"ALERT_WEBHOOK_URL_FILE": "url", "ALERT_WEBHOOK_SECRET_FILE": "secret", "EMAIL_PASSWORD_FILE": "password"}
    alerts = read(tmp_path, **files, **MAIL, EMAIL_USER="ada")
    assert (alerts.webhook_url, alerts.webhook_key) == (HOOK["ALERT_WEBHOOK_URL"], b"s" * 16)
    assert alerts.mail_server.password == " p "


@pytest.mark.parametrize(
    ("environment", "advice"),
    [
        ({"ALERT_WEBHOOK_SECRET": "hush" * 4}, "ALERT_WEBHOOK_URL is not"),
        (HOOK | {"ALERT_WEBHOOK_SECRET": "hush"}, "16 characters or more"),
        (HOOK | {"ALERT_WEBHOOK_SECRET": "whsec_hush, not base64"}, "not base64"),
        (HOOK | {"ALERT_WEBHOOK_URL_FILE": "u"}, "both set"),
        (HOOK | {"ALERT_WEBHOOK_SECRET_FILE": "nowhere"}, "cannot be read"),
        ({"ALERT_EMAILS": "ops@example.com"}, "EMAIL_HOST is not"),
        (MAIL | {"EMAIL_FROM": ""}, "EMAIL_FROM is not"),
        (MAIL | {"EMAIL_USER": "ada"}, "belong together"),
        (MAIL | {"EMAIL_PASSWORD": "hush"}, "belong together"),
        (MAIL | {"EMAIL_USER": "a", "EMAIL_PASSWORD": "hush", "EMAIL_SECURITY": "none"}, "unencrypted"),
        ({"ALERT_WEBHOOK_URL": "ftp://hush"}, "http:// or https://"),
        ({"ALERT_WEBHOOK_URL": "https://hush/\u202e"}, "http:// or https://"),
        ({"ALERT_EMAILS": "ops@example.com\r\nBcc: x@example.com"}, "an address such as"),
        ({"ALERT_EMAILS": "Ops <ops@example.com>"}, "an address such as"),
        ({"ALERT_EMAILS": ",".join(f"a{n}@example.com" for n in range(21))}, "at most 20"),
        ({"EMAIL_FROM": "nobody"}, "an address such as"),
        ({"EMAIL_HOST": "smtp://mail"}, "a host name"),
        ({"EMAIL_PORT": "0"}, "from 1 to 65535"),
        ({"EMAIL_SECURITY": "ssl"}, "starttls or tls or none"),
        ({"HOLOCRON_PUBLIC_URL": "holocron.example"}, "https://holocron.example"),
        ({"HOLOCRON_PUBLIC_URL": "https://a.example,https://b.example"}, "the site's origin"),
        ({"HOLOCRON_PUBLIC_URL": "https://ada:hush@holocron.example"}, "the site's origin"),
    ],
)
def test_what_is_wrong_is_one_line_without_a_secret(environment: dict[str, str], advice: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**environment)
    assert advice in str(caught.value)
    assert str(caught.value).isprintable()
    assert "hush" not in str(caught.value)


def test_a_file_with_a_wrong_url_is_named_and_its_contents_are_not(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("gopher://hush\n", "utf-8")
    with pytest.raises(SettingsError, match=r"^ALERT_WEBHOOK_URL_FILE: \S+ cannot be used: write an http") as caught:
        read(tmp_path, ALERT_WEBHOOK_URL_FILE="url")
    assert "hush" not in str(caught.value)
