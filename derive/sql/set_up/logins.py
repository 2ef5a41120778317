"""The logins that Holocron's processes use, and the roles that give them their rights."""

from dataclasses import dataclass, field

from derive.errors import ConfigurationError

WORKER_LOGIN = "holocron_worker"
WEB_LOGIN = "holocron_web"
"""Login of the site and the scheduler, which both use Django's own tables and act as operators."""

SITE_ROLE = "holocron_site"
"""Role that may read and write Django's own tables (accounts, sessions, schedules), nothing in the schema ``llm``."""

ROLES_OF = {WORKER_LOGIN: ("llm_worker",), WEB_LOGIN: ("llm_operator", SITE_ROLE)}

MAX_PASSWORD_UNITS = 128
"""Longest password that SQL Server accepts, in UTF-16 units; QUOTENAME returns null for a longer one."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """A login to create, or to update to this password and these roles."""

    name: str
    password: str = field(repr=False)
    roles: tuple[str, ...]


def logins_of(passwords: dict[str, str]) -> tuple[Login, ...]:
    """Return a login for each name with a password; raise ConfigurationError for an unusable password.

    The rules are the same on both engines, so a password accepted by one is accepted by the other.
    """
    for name, password in passwords.items():
        if len(password.encode("utf-16-le", "surrogatepass")) > 2 * MAX_PASSWORD_UNITS:
            raise ConfigurationError(f"the password of {name} is longer than {MAX_PASSWORD_UNITS} characters")
        if password != password.strip():
            raise ConfigurationError(
                f"the password of {name} begins or ends with a blank, which SQL Server's driver drops"
            )
    return tuple(
        Login(name=name, password=password, roles=ROLES_OF[name]) for name, password in passwords.items() if password
    )
