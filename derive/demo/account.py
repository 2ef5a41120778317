"""The account the demo's visitor logs in with."""

import secrets

from django.contrib.auth import get_user_model

USERNAME = "operator"
PASSWORD_BYTES = 9


def make_account(*, renew_password: bool) -> str | None:
    """Make the operator's account and return its new password; None when it exists and keeps its own."""
    rights = {"is_staff": True, "is_superuser": True}
    # Another demo may make it at the same moment.
    user, is_new = get_user_model().objects.get_or_create(username=USERNAME, defaults=rights)
    if not is_new and not renew_password:
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user.set_password(password)
    user.save()
    return password
