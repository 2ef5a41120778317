"""The admin's own site in Django's place."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from typing_extensions import override


class HolocronAdminConfig(SimpleAdminConfig):
    """Django's admin, with the site that refuses aloud.

    Its pages are loaded with the addresses (``holocron.urls``), not at every start: half of what a command would import
    are pages that it does not show.
    """

    default_site = "holocron.admin_site.HolocronSite"

    @override
    def ready(self) -> None:
        """Register Django's own checks, of pages that are there when they are looked at."""
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(app_configs: Sequence[AppConfig] | None, **given: Any) -> list[checks.CheckMessage]:
    autodiscover()
    return check_admin_app(app_configs, **given)
