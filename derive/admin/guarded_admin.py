"""unfold's ModelAdmin for models that Django itself writes, a little stricter."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from typing_extensions import override
from unfold.admin import ModelAdmin

from derive.admin.rights import Denied


class GuardedAdmin(ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """Pages of Django's own forms."""

    show_full_result_count = False

    @override
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a row's history; Django looks for the row before it asks who wants to know."""
        if not self.has_view_permission(request):
            raise Denied(f"{self.opts.app_label}.view_{self.opts.model_name}")
        answer: HttpResponse = super().history_view(request, object_id, extra_context)
        return answer
