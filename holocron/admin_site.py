"""The admin's site: unfold's, refusing aloud, with fewer doors."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.templatetags.static import static
from django.urls import path
from typing_extensions import override
from unfold.sites import UnfoldAdminSite

_CLOSED = frozenset({"view_on_site", "autocomplete"})
"""Django's redirect to a model's own page, and its search for select boxes: no page of ours has use for them."""


class HolocronSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold carries no types
    """The site of all pages below ``/admin/``."""

    index_title = "Overview"
    enable_nav_sidebar = True

    @override
    def get_urls(self) -> list[Any]:
        from derive.admin.dashboard import page as dashboard_page

        kept = [url for url in super().get_urls() if getattr(url, "name", None) not in _CLOSED]
        return [path("dashboard/", self.admin_view(dashboard_page.parts), name="derive_dashboard"), *kept]

    @override
    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the dashboard in place of Django's list of apps."""
        from derive.admin.dashboard import page as dashboard_page

        return dashboard_page.page(request)

    @override
    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Any:
        """Wrap a view as Django does, but refuse whoever is logged in and has no business here.

        Django sends them to the log-in page, which looks like a session that ran out and leaves no trace.
        """
        # Here, since derive.admin registers its pages with the very site that is made from this module.
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
    """Return the address of our style sheet (``UNFOLD["STYLES"]``)."""
    return static("derive/holocron.css")


def script(_request: HttpRequest) -> str:
    """Return the address of our script (``UNFOLD["SCRIPTS"]``)."""
    return static("derive/holocron.js")


def icon(_request: HttpRequest) -> str:
    """Return the address of the browser's small picture (``UNFOLD["SITE_FAVICONS"]``)."""
    return static("derive/icon.svg")
