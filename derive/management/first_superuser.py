"""The first account of the admin, for a site without accounts."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from derive.errors import ConfigurationError

USERNAME = "admin"


def check_admin_password(password: str) -> None:
    """Raise ConfigurationError, which never contains the password, if the site's validators refuse it."""
    try:
        validate_password(password, User(username=USERNAME))
    except ValidationError as error:
        raise ConfigurationError(f"HOLOCRON_ADMIN_PASSWORD: {' '.join(error.messages)}") from None


def make_first_superuser(password: str) -> str:
    """Create the superuser ``admin`` if there is no superuser; return a message with the result.

    An existing account is never changed: to reset a lost password, use ``manage.py changepassword``.
    """
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return "superuser: exists already, unchanged"
    taken = f"superuser: not created, because an account {USERNAME} exists that is not a superuser"
    if users.filter(username=USERNAME).exists():
        return taken
    try:
        users.create_superuser(USERNAME, password=password)
    except IntegrityError:
        # Another process created it first.
        return taken
    return f"superuser {USERNAME}: created"
