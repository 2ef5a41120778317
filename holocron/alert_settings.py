"""Where alerts go: the variables that only make sense together, and the secrets that may be kept in files."""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holocron.environment import SettingsError, webhook_url
from holocron.secret_file import read_secret_file

if TYPE_CHECKING:
    from derive.alerts.settings import AlertSettings

PORTS = {"none": 25, "starttls": 587, "tls": 465}
MIN_SECRET_CHARACTERS = 16
_ENCODED = "whsec_"
"""How a secret begins whose rest is base64, as https://www.standardwebhooks.com has it."""


def read_alert_settings(values: Mapping[str, Any], *, folder: Path) -> "AlertSettings":
    """Return where alerts go; raise SettingsError when a part is missing or is given twice."""
    from derive.alerts.settings import AlertSettings, MailServer

    url = _secret(values, "ALERT_WEBHOOK_URL", folder, check=webhook_url)
    secret = _secret(values, "ALERT_WEBHOOK_SECRET", folder)
    password = _secret(values, "EMAIL_PASSWORD", folder)
    if secret and not url:
        raise SettingsError("ALERT_WEBHOOK_SECRET is set and ALERT_WEBHOOK_URL is not: set both, or leave both empty")
    emails = values["ALERT_EMAILS"]
    for name in ("EMAIL_HOST", "EMAIL_FROM"):
        if emails and not values[name]:
            raise SettingsError(f"ALERT_EMAILS is set and {name} is not: say how e-mail is sent, or leave both empty")
    if bool(values["EMAIL_USER"]) != bool(password):
        raise SettingsError("EMAIL_USER and EMAIL_PASSWORD belong together: set both, or leave both empty")
    security = values["EMAIL_SECURITY"]
    if password and security == "none":
        raise SettingsError("EMAIL_SECURITY=none would send EMAIL_PASSWORD unencrypted: write starttls or tls")
    mail_server = MailServer(
        host=values["EMAIL_HOST"],
        port=values["EMAIL_PORT"] or PORTS[security],
        security=security,
        sender=values["EMAIL_FROM"],
        user=values["EMAIL_USER"],
        password=password,
    )
    return AlertSettings(
        webhook_url=url,
        webhook_key=_key(secret) if secret else b"",
        emails=emails,
        mail_server=mail_server if emails else None,
        public_url=values["HOLOCRON_PUBLIC_URL"],
    )


def _secret(values: Mapping[str, Any], name: str, folder: Path, *, check: Callable[[str], str] | None = None) -> str:
    """Return a secret given by itself or by a file's first line; empty when neither is."""
    given, file = str(values[name]), values[f"{name}_FILE"]
    if not file:
        return given
    if given:
        raise SettingsError(f"{name} and {name}_FILE are both set: leave one empty")
    text = read_secret_file(folder / file, variable=f"{name}_FILE")
    try:
        if not text or not text.isprintable():
            raise ValueError("its first line must hold the secret, in printable characters")
        return check(text.strip()) if check is not None else text
    except ValueError as error:
        raise SettingsError(f"{name}_FILE: {folder / file} cannot be used: {error}") from None


def _key(secret: str) -> bytes:
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise SettingsError(f"ALERT_WEBHOOK_SECRET is too short: write {MIN_SECRET_CHARACTERS} characters or more")
    if not secret.startswith(_ENCODED):
        return secret.encode()
    try:
        key = b64decode(re.sub(r"^whsec_", "", secret), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise SettingsError("ALERT_WEBHOOK_SECRET begins with whsec_, but the rest is not base64")
    return key
