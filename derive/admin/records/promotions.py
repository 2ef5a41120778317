"""Which version of an interrogation is live: shown beside a definition, and changed there with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse

from derive.admin.lists import suggestions
from derive.admin.site import permissions
from derive.errors import ConfigurationError, UnknownInterrogation
from derive.models import Interrogation, InterrogationEvent, InterrogationLive
from derive.queue import JobQueue
from derive.queue.promotion import Promotion
from derive.strict_types import parse_json

EVENTS = 20
MAX_REASON = 1_000
PROMOTE, ROLL_BACK = "promote", "roll_back"


@dataclass(frozen=True)
class LiveVersion:
    """What jobs of a key get, and how that came; ``version`` is None if no version is promoted or installed."""

    version: str | None
    is_promoted: bool
    is_this: bool
    gate: str
    events: Sequence[InterrogationEvent]
    may_roll_back: bool


class PromotionForm(forms.Form):
    """What to do, and why."""

    action = forms.ChoiceField(choices=[(PROMOTE, PROMOTE), (ROLL_BACK, ROLL_BACK)])
    reason = forms.CharField(max_length=MAX_REASON, error_messages={"required": "Say why: it is kept in the history."})


def live_version_of(one: Interrogation) -> LiveVersion:
    """Return what is live of this definition's key; three statements."""
    row = InterrogationLive.objects.filter(interrogation_key=one.interrogation_key).first()
    events = InterrogationEvent.objects.filter(interrogation_key=one.interrogation_key).order_by("-event_seq")[:EVENTS]
    promoted = row is not None and row.definition_sha256 is not None
    if row is not None and promoted:
        version, sha256 = row.version, row.definition_sha256
        in_force = InterrogationEvent.objects.filter(event_seq=row.promotion_seq).first()
        may_roll_back = in_force is not None and in_force.replaces_seq is not None
    else:
        version, sha256 = _highest_installed(one.interrogation_key)
        may_roll_back = False
    return LiveVersion(
        version=version,
        is_promoted=promoted,
        is_this=sha256 == one.definition_sha256,
        gate=_gate_of(row),
        events=list(events),
        may_roll_back=may_roll_back,
    )


def promotion_view(request: HttpRequest, sha256: str) -> HttpResponse:
    """Promote a definition, or roll back the promotion of its key."""
    permissions.demand(request, permissions.VIEW_INTERROGATIONS, permissions.PROMOTE_INTERROGATIONS)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    one = Interrogation.objects.filter(definition_sha256=sha256).first()
    if one is None:
        raise Http404("There is no such definition.")
    form = PromotionForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(why) for reasons in form.errors.values() for why in reasons))
    else:
        _tell(request, one, _act(request, one, form))
    return HttpResponseRedirect(reverse("admin:derive_interrogation_change", args=[sha256]))


def _act(request: HttpRequest, one: Interrogation, form: PromotionForm) -> Promotion:
    queue, who = JobQueue(), {"actor": permissions.actor_of(request), "reason": form.cleaned_data["reason"]}
    if form.cleaned_data["action"] == ROLL_BACK:
        return queue.roll_back_interrogation(one.interrogation_key, **who)
    return queue.promote_interrogation(one.interrogation_key, one.version, **who)


def _tell(request: HttpRequest, one: Interrogation, answer: Promotion) -> None:
    if not answer.promoted:
        messages.error(request, f"Nothing was changed: {answer.why}.")
        return
    messages.success(
        request,
        f"{one.interrogation_key} {answer.version} is {answer.why or 'live now: workers use it within seconds'}.",
    )
    if suggestions.registry().with_definition(answer.definition_sha256 or "") is None:
        messages.warning(
            request,
            f"{one.interrogation_key} {answer.version} is not installed here. Its jobs wait for a worker that has it.",
        )


def _highest_installed(key: str) -> tuple[str | None, str | None]:
    try:
        found = suggestions.registry().get(key)
    except (UnknownInterrogation, ConfigurationError):
        return None, None
    return found.version, found.definition.definition_sha256


def _gate_of(row: InterrogationLive | None) -> str:
    if row is None or row.gate_set is None:
        return ""
    gates = parse_json(row.gates_json or "{}").get("gates", [])
    return f"{' and '.join(map(str, gates))} on {row.gate_set}"
