"""The subjects of one derivation, paged by key: which answers are current, and why the others are not."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from typing_extensions import override

from derive.admin.display.untrusted_text import cell
from derive.admin.lists.filters import ChoiceFilter, ListFilter, TextFilter
from derive.admin.lists.keyset import Condition, Walk, equals
from derive.admin.lists.pages import paging_of, show, without
from derive.models import Derivation, Subject
from derive.states import StaleBecause, SubjectState

STATES: Mapping[SubjectState, str] = {
    SubjectState.MISSING: "not asked about yet",
    SubjectState.QUEUED: "its newest job is unfinished",
    SubjectState.CURRENT: "answers its present evidence, definition and model",
    SubjectState.STALE: "out of date, and in use until the next one succeeds",
    SubjectState.FAILED: "its newest job ended without an answer",
    SubjectState.RETIRED: "gone from the source, or left out by a rule",
}
BECAUSE: Mapping[StaleBecause, str] = {
    StaleBecause.EVIDENCE: "its evidence changed",
    StaleBecause.DEFINITION: "the interrogation's definition changed",
    StaleBecause.MODEL: "another model is to be asked",
    StaleBecause.ASKED: "a new answer was asked for",
}


class SubjectFilter(ListFilter):
    """The filters of the list of subjects."""

    rows_of, sequence = Subject, "subject_seq"

    state = ChoiceFilter("State", [(str(state), state.capitalize()) for state in STATES])
    because = ChoiceFilter("Stale because", [(str(one), words) for one, words in BECAUSE.items()])
    entity_type = TextFilter("Entity type")
    entity = TextFilter("Entity", max_length=400, is_wide=True)

    def __init__(self, query: QueryDict, derivation_seq: int) -> None:
        self._of = equals("derivation_seq", derivation_seq)
        super().__init__(query)

    @override
    def matching(self) -> Walk:
        arms = tuple((self._of, *arm) for arm in self.arms())
        return Walk(self.rows_of, self.sequence, arms=arms, rest=tuple(self.rest()))

    @override
    def arms(self) -> Sequence[tuple[Condition, ...]]:
        values = self.values
        if values["entity"] and values["entity_type"]:
            return ((equals("entity_type", values["entity_type"]), equals("entity_id", values["entity"])),)
        only = SubjectState.STALE if values["because"] else values["state"]
        return tuple((equals("state", str(state)),) for state in ([only] if only else SubjectState))

    @override
    def rest(self) -> Sequence[Condition]:
        wanted = {"state": "state", "because": "stale_because", "entity_type": "entity_type", "entity": "entity_id"}
        return tuple(equals(f"t.{column}", self.values[name]) for name, column in wanted.items() if self.values[name])


def list_subjects(request: HttpRequest, derivation: Derivation) -> HttpResponse:
    """Show one page of a derivation's subjects, the newest first."""
    chosen = SubjectFilter(request.GET, derivation.derivation_seq)
    page = chosen.walk().page(older=request.GET.get("older"), newer=request.GET.get("newer"))
    found = {row.subject_seq: row for row in Subject.objects.filter(subject_seq__in=page.sequences)}
    context: dict[str, Any] = {
        "derivation": derivation,
        "row_is": "subject",
        "rows_are": "subjects",
        "rows": [(row, why_not_current(row)) for number in page.sequences if (row := found.get(number)) is not None],
        "paging": paging_of(request.GET, page),
        "chosen": chosen,
        "problems": chosen.problems,
        "chips": [(chosen[name].label, words, without(request.GET, name)) for name, words in chosen.in_words()],
        "act": reverse("admin:derive_derivation_act", args=[derivation.derivation_key]),
    }
    title = f"Subjects of {cell(derivation.derivation_key)}"
    return show(request, "admin/derivations/subjects.html", title=title, **context)


def why_not_current(subject: Subject) -> str:
    """Say in words why a subject's answer is not current; empty if it is."""
    if subject.stale_because is not None:
        return f"{BECAUSE.get(StaleBecause(subject.stale_because), subject.stale_because)}; the answer stays in use"
    if subject.why is not None:
        return f"left out by a rule: {subject.why}"
    if subject.state == SubjectState.FAILED and subject.run_id is not None:
        return "its newest job ended without an answer; an earlier one stays in use"
    if subject.state == SubjectState.QUEUED and subject.run_id is not None:
        return "its newest job is unfinished; an earlier answer stays in use"
    return "" if subject.state == SubjectState.CURRENT else STATES[SubjectState(subject.state)]
