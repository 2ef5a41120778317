"""The account for logging in to the demo."""

import base64
import secrets

from django.contrib.auth import get_user_model
from django.utils.crypto import salted_hmac

USERNAME = "operator"
PASSWORD_BYTES = 9


def make_account(*, own_world: bool) -> str | None:
    """Create the operator's account if necessary, and return its password; None if somebody else set it.

    In the demo's own instance the password is derived from its secret key, so each start prints the same one.
    """
    rights = {"is_staff": True, "is_superuser": True}
    # Another demo may create it at the same moment.
    user, is_new = get_user_model().objects.get_or_create(username=USERNAME, defaults=rights)
    password = _lasting_password() if own_world else secrets.token_urlsafe(PASSWORD_BYTES)
    if is_new:
        user.set_password(password)
        user.save()
        return password
    return password if own_world and user.check_password(password) else None


def _lasting_password() -> str:
    digest = salted_hmac("holocron.demo", USERNAME, algorithm="sha256").digest()
    return base64.urlsafe_b64encode(digest[:PASSWORD_BYTES]).decode()
