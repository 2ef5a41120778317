"""Saved views of a list: read for its page, and changed by its forms.

A view is a list's filters under a name. People change their own; a shared one is seen by everybody who sees the list.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.urls import reverse

from derive.admin.lists.filters import ListFilter
from derive.admin.site import permissions
from derive.models import DefaultView, SavedView
from derive.models.views import FILTER_CHARACTERS, NAME_CHARACTERS
from derive.strict_types import check_storable
from derive.visible_text import visible

MAX_VIEWS, MAX_OWN_VIEWS = 100, 50
"""How many views a list shows, one's own first; and how many one person can save."""
PARAM = "view"
"""Names the view in a list's address; ``all`` is the list without one."""
EVERYTHING = "all"


@dataclass(frozen=True)
class ViewLink:
    """A view as its list shows it."""

    name: str
    address: str
    is_current: bool
    view: SavedView | None = None
    """None: every list has it."""
    may_change: bool = False


def visible_to(request: HttpRequest, page: str) -> "QuerySet[SavedView]":
    """Return a person's own views of a list and those that are shared."""
    own_or_shared = Q(owner_id=request.user.pk) | Q(is_shared=True)
    return SavedView.objects.filter(own_or_shared, page=page)


def read_views(request: HttpRequest, page: str) -> list[SavedView]:
    """Return the views that a person sees, each with ``is_default``; one statement."""
    default = DefaultView.objects.filter(person_id=request.user.pk, view=OuterRef("pk"))
    views = visible_to(request, page).annotate(is_default=Exists(default)).select_related("owner")
    return list(views.order_by("is_shared", "name", "pk")[:MAX_VIEWS])


def named_view(request: HttpRequest, page: str) -> SavedView | None:
    """Return the saved view that the address names."""
    key = request.GET.get(PARAM, "")
    if not (key.isascii() and key.isdigit() and len(key) <= 18):
        return None
    return visible_to(request, page).filter(pk=int(key)).first()


def address_of(view: SavedView) -> str:
    """Return the query string that opens a view."""
    return f"?{view.filter}{'&' if view.filter else ''}{urlencode({PARAM: view.pk})}"


def default_address(request: HttpRequest, views: list[SavedView]) -> str | None:
    """Return the query string of the view that the list opens with, if it is opened without any filter."""
    if request.META.get("QUERY_STRING"):
        return None
    return next((address_of(view) for view in views if view.is_default), None)  # type: ignore[attr-defined]  # annotated


def links(
    request: HttpRequest, views: list[SavedView], chosen: ListFilter, built_in: Mapping[str, dict[str, str]]
) -> list[ViewLink]:
    """Return the links of a list's views: those that every list has, one's own, those that are shared."""
    now, named = chosen.active(), request.GET.get(PARAM, EVERYTHING)
    found = [ViewLink("All", f"?{urlencode({PARAM: EVERYTHING})}", is_current=not now and named == EVERYTHING)]
    for name, query in built_in.items():
        found.append(ViewLink(name, f"?{urlencode(query)}", is_current=now == query and named == EVERYTHING))
    for view in views:
        is_current = named == str(view.pk) and now == QueryDict(view.filter).dict()
        link = ViewLink(view.name, address_of(view), is_current, view, may_change=may_change(request, view))
        found.append(link)
    return found


def may_change(request: HttpRequest, view: SavedView) -> bool:
    """Whether a person may rename, share or remove a view."""
    is_own = view.owner_id == request.user.pk
    return is_own or (view.is_shared and permissions.may(request, permissions.MANAGE_SHARED_VIEWS))


def change(request: HttpRequest, *, page: str, filters: type[ListFilter], display: str) -> HttpResponse:
    """Carry out one of the forms, and go back to the list in that view."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    listing = reverse(f"admin:derive_{page}_changelist")
    act = _ACTS.get(request.POST.get("do", ""))
    if act is None:
        raise BadRequest("unknown action on a view")
    try:
        with transaction.atomic():
            view, said = act(_Form(request, page, filters, display))
    except ValueError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(f"{listing}?{urlencode({PARAM: EVERYTHING})}")
    except IntegrityError:
        messages.error(request, "You have a view of that name already.")
        return HttpResponseRedirect(f"{listing}?{urlencode({PARAM: EVERYTHING})}")
    messages.success(request, said)
    return HttpResponseRedirect(listing + (address_of(view) if view else f"?{urlencode({PARAM: EVERYTHING})}"))


@dataclass(frozen=True)
class _Form:
    request: HttpRequest
    page: str
    filters: type[ListFilter]
    display: str

    @property
    def name(self) -> str:
        """The name that was typed; raise ValueError."""
        name = visible(check_storable(self.request.POST.get("name", ""))).strip()
        if not 0 < len(name) <= NAME_CHARACTERS:
            raise ValueError(f"A view's name has from 1 to {NAME_CHARACTERS} characters.")
        return name

    @property
    def view(self) -> SavedView:
        """The view that the form is about, if this person sees it; raise ValueError."""
        key = self.request.POST.get("view", "")
        if key.isascii() and key.isdigit() and len(key) <= 18:
            view = visible_to(self.request, self.page).filter(pk=int(key)).first()
            if view is not None:
                return view
        raise ValueError("There is no such view any more.")

    @property
    def own_view(self) -> SavedView:
        """The same, if this person may change it."""
        view = self.view
        if not may_change(self.request, view):
            raise permissions.Denied(permissions.MANAGE_SHARED_VIEWS)
        return view

    def set_default(self, view: SavedView | None) -> None:
        """Let the list open with a view, or with none."""
        person_id = self.request.user.pk
        if view is None:
            DefaultView.objects.filter(person_id=person_id, page=self.page).delete()
        else:
            DefaultView.objects.update_or_create(person_id=person_id, page=self.page, defaults={"view": view})


_Act = Callable[[_Form], tuple[SavedView | None, str]]


def _save(form: _Form) -> tuple[SavedView | None, str]:
    """Save the filters under a name; one's own view of that name is replaced."""
    chosen = form.filters(QueryDict(form.request.POST.get("filter", "")[:FILTER_CHARACTERS]))
    if chosen.problems:
        raise ValueError(f"The filter is invalid: {chosen.problems[0]}.")
    is_shared = form.request.POST.get("shared") == "on"
    if is_shared:
        permissions.demand(form.request, permissions.SHARE_VIEWS)
    values: dict[str, Any] = {"filter": chosen.encoded(), "display": form.display, "is_shared": is_shared}
    if len(values["filter"]) > FILTER_CHARACTERS:
        raise ValueError("The filter is too long to be saved.")
    own = SavedView.objects.filter(owner_id=form.request.user.pk, page=form.page)
    if own.exclude(name=form.name).count() >= MAX_OWN_VIEWS:
        raise ValueError(f"You have {MAX_OWN_VIEWS} views of this list: remove one first.")
    view, _is_new = own.update_or_create(owner_id=form.request.user.pk, page=form.page, name=form.name, defaults=values)
    if not is_shared:
        _close_to_others(view)
    if form.request.POST.get("default") == "on":
        form.set_default(view)
    return view, f"Saved the view {view.name}."


def _rename(form: _Form) -> tuple[SavedView | None, str]:
    view = form.own_view
    view.name = form.name
    view.save(update_fields=["name"])
    return view, f"Renamed the view to {view.name}."


def _remove(form: _Form) -> tuple[SavedView | None, str]:
    view = form.own_view
    view.delete()
    return None, f"Removed the view {view.name}."


def _share(form: _Form) -> tuple[SavedView | None, str]:
    permissions.demand(form.request, permissions.SHARE_VIEWS)
    view = form.own_view
    view.is_shared = True
    view.save(update_fields=["is_shared"])
    return view, f"Shared the view {view.name}."


def _unshare(form: _Form) -> tuple[SavedView | None, str]:
    view = form.own_view
    view.is_shared = False
    view.save(update_fields=["is_shared"])
    _close_to_others(view)
    is_own = view.owner_id == form.request.user.pk
    return view if is_own else None, f"The view {view.name} is no longer shared."


def _close_to_others(view: SavedView) -> None:
    """Let nobody's list open with a view that only its owner sees."""
    DefaultView.objects.filter(view=view).exclude(person_id=view.owner_id).delete()


def _open_with(form: _Form) -> tuple[SavedView | None, str]:
    view = form.view
    form.set_default(view)
    return view, f"The list now opens with {view.name}."


def _open_with_all(form: _Form) -> tuple[SavedView | None, str]:
    form.set_default(None)
    return None, "The list now opens without a view."


_ACTS: Mapping[str, _Act] = {
    "save": _save,
    "rename": _rename,
    "remove": _remove,
    "share": _share,
    "unshare": _unshare,
    "default": _open_with,
    "no_default": _open_with_all,
}
