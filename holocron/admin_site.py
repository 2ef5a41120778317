"""The admin site: unfold's, but it answers 403 without permission and drops pages that are not needed."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.templatetags.static import static
from django.urls import path
from typing_extensions import override
from unfold.sites import UnfoldAdminSite

_CLOSED = frozenset({"view_on_site", "autocomplete", "search"})
"""Views of Django's admin that no page uses: the redirect to an object's page, and searches."""


class HolocronSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold carries no types
    """The site of all pages below ``/admin/``."""

    index_title = "Overview"
    enable_nav_sidebar = True

    @override
    def get_urls(self) -> list[Any]:
        from derive.admin.dashboard import page as dashboard_page
        from derive.admin.jobs.palette import palette
        from derive.admin.sources import pages as source_pages

        kept = [url for url in super().get_urls() if getattr(url, "name", None) not in _CLOSED]
        return [
            path("dashboard/", self.admin_view(dashboard_page.parts), name="derive_dashboard"),
            path("palette/", self.admin_view(palette), name="derive_palette"),
            path("derive/source/", self.admin_view(source_pages.list_view), name="derive_source_changelist"),
            path("derive/source/preview/", self.admin_view(source_pages.preview_view), name="derive_source_payloads"),
            *kept,
        ]

    @override
    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the dashboard in place of Django's list of apps."""
        from derive.admin.dashboard import page as dashboard_page

        return dashboard_page.page(request)

    @override
    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Any:
        """Wrap a view as Django does, but refuse users who are logged in without permission.

        Django redirects them to the log-in page, which looks like an expired session and is not logged.
        """
        # Imported here because derive.admin registers its pages with the site that this module creates.
        from derive.admin.site.permissions import Denied

        inner = super().admin_view(view, cacheable)

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            leaving = request.resolver_match is not None and request.resolver_match.url_name == "logout"
            if request.user.is_authenticated and not self.has_permission(request) and not leaving:
                raise Denied("staff")
            answer: HttpResponseBase = inner(request, *args, **kwargs)
            return answer

        return update_wrapper(guarded, inner)


def stylesheet(_request: HttpRequest) -> str:
    """Return the URL of our style sheet (``UNFOLD["STYLES"]``)."""
    return static("derive/holocron.css")


def script(_request: HttpRequest) -> str:
    """Return the URL of our script (``UNFOLD["SCRIPTS"]``)."""
    return static("derive/holocron.js")


def palette_script(_request: HttpRequest) -> str:
    """Return the URL of the command palette's script (``UNFOLD["SCRIPTS"]``)."""
    return static("derive/palette.js")


def icon(_request: HttpRequest) -> str:
    """Return the URL of the favicon (``UNFOLD["SITE_FAVICONS"]``)."""
    return static("derive/icon.svg")
