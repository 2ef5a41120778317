"""unfold's ModelAdmin for models that Django itself writes, a little stricter."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from typing_extensions import override
from unfold.admin import ModelAdmin

from derive.admin.site.permissions import Denied


class PlainList(ChangeList):
    """A list that is called after what it holds, and says how much that is once, at its foot."""

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = capfirst(str(self.opts.verbose_name_plural))

    @override
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not (self.query or self.has_active_filters):
            # Else unfold's header would offer to show all where all is shown.
            self.full_result_count = self.result_count


class GuardedAdmin(ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """Pages of Django's own forms."""

    show_full_result_count = False

    @override
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PlainList

    @override
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a row's history; Django looks for the row before it asks who wants to know."""
        if not self.has_view_permission(request):
            raise Denied(f"{self.opts.app_label}.view_{self.opts.model_name}")
        answer: HttpResponse = super().history_view(request, object_id, extra_context)
        return answer
