"""unfold's ModelAdmin for models that Django itself writes, a little stricter."""

from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ValidationError
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
    def get_filters(self, request: HttpRequest) -> Any:
        """Filter by what the list offers; Django would take every column with every lookup, also ``name__regex=(``."""
        specs, has_filters, others, has_duplicates, is_active = super().get_filters(request)
        if others:
            raise IncorrectLookupParameters(f"not a filter of this list: {', '.join(others)}")
        return specs, has_filters, others, has_duplicates, is_active

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
    def response_action(self, request: HttpRequest, queryset: Any) -> Any:
        """Act on the chosen rows; Django hands their keys to the database before it looks whether they are keys."""
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(key)
        except ValidationError as error:
            raise BadRequest("a chosen row's key is none") from error
        return super().response_action(request, queryset)

    @override
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a row's history; Django looks for the row before it asks who wants to know."""
        if not self.has_view_permission(request):
            raise Denied(f"{self.opts.app_label}.view_{self.opts.model_name}")
        answer: HttpResponse = super().history_view(request, object_id, extra_context)
        return answer
