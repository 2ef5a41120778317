"""The account the demo's visitor logs in with."""

import secrets

from django.contrib.auth import get_user_model

USERNAME = "operator"
PASSWORD_BYTES = 9


def make_account(*, renew_password: bool) -> str | None:
    """Make the operator's account and return its new password; None when it exists and keeps its own."""
    users = get_user_model()
    user = users.objects.filter(username=USERNAME).first()
    if user is not None and not renew_password:
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    if user is None:
        user = users(username=USERNAME, is_staff=True, is_superuser=True)
    user.set_password(password)
    user.save()
    return password
