"""unfold's ModelAdmin for tables that Django itself writes, slightly stricter."""

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
    """A list titled after its content, with its count once, at the bottom."""

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = capfirst(str(self.opts.verbose_name_plural))

    @override
    def get_filters(self, request: HttpRequest) -> Any:
        """Allow only the list's filters; Django would accept every column with every lookup, even ``name__regex=(``."""
        specs, has_filters, others, has_duplicates, is_active = super().get_filters(request)
        if others:
            raise IncorrectLookupParameters(f"unknown filter: {', '.join(others)}")
        return specs, has_filters, others, has_duplicates, is_active

    @override
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not (self.query or self.has_active_filters):
            # Otherwise unfold's header offers to show all when all are shown.
            self.full_result_count = self.result_count


class GuardedAdmin(ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """Pages with Django's own forms."""

    show_full_result_count = False

    @override
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PlainList

    @override
    def response_action(self, request: HttpRequest, queryset: Any) -> Any:
        """Act on the selected rows, after validating their keys, which Django passes to the database unchecked."""
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(key)
        except ValidationError as error:
            raise BadRequest("a selected row's key is invalid") from error
        return super().response_action(request, queryset)

    @override
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a row's history, after checking the permission: Django looks up the row first."""
        if not self.has_view_permission(request):
            raise Denied(f"{self.opts.app_label}.view_{self.opts.model_name}")
        answer: HttpResponse = super().history_view(request, object_id, extra_context)
        return answer
