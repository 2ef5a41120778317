"""Where alerts go, as the environment says. Knows no Django: settings make it while they are read."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """The SMTP server. ``security`` is ``none``, ``starttls`` or ``tls``; an empty ``user`` logs in nowhere."""

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class AlertSettings:
    """Where alerts go; all empty: nowhere. A webhook's URL is a secret: many hold a token."""

    webhook_url: str = field(default="", repr=False)
    webhook_key: bytes = field(default=b"", repr=False)
    """Signs each webhook's body; empty: unsigned."""
    emails: tuple[str, ...] = ()
    mail_server: MailServer | None = None
    public_url: str = ""
    """The site's base URL for links in messages; empty: no links."""
