"""Replaces Django's admin site by our own."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from typing_extensions import override


class HolocronAdminConfig(SimpleAdminConfig):
    """Django's admin with our site.

    Its pages are loaded with the URLs (``holocron.urls``) and not on every start, because they are half of what a
    command would import and it does not show them.
    """

    default_site = "holocron.admin_site.HolocronSite"

    @override
    def ready(self) -> None:
        """Register Django's checks of the admin pages, which load the pages when they run."""
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(app_configs: Sequence[AppConfig] | None, **given: Any) -> list[checks.CheckMessage]:
    autodiscover()
    return check_admin_app(app_configs, **given)
