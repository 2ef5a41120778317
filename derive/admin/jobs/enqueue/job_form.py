"""The form of one job: its interrogation, input, evidence, and when and how it runs."""

import hashlib
import json
from typing import Any
from uuid import uuid4, uuid5

from django import forms
from django.http import HttpRequest, QueryDict

from derive.admin.jobs.enqueue.evidence_formset import as_members, read_evidence
from derive.admin.jobs.enqueue.from_job import typed_from
from derive.admin.jobs.enqueue.schema_form import EVIDENCE_MEMBER, input_form, takes_evidence
from derive.admin.jobs.form_fields import MomentField, ReasonField
from derive.admin.lists.query_params import as_guid
from derive.admin.lists.suggestions import live_registry
from derive.admin.site import permissions
from derive.admin.site.timezones import as_typed, zone_of
from derive.contracts import JobInput
from derive.errors import ConfigurationError, RunError
from derive.intake.checking import RecordCheck, RecordRefused
from derive.intake.importing import new_import_id
from derive.interrogations.loaded_interrogation import LoadedInterrogation
from derive.models import Job
from derive.strict_types import MAX_INT


class SettingsForm(forms.Form):
    """When and how the job runs. Plain text where the job's own check validates, so each rule is reported once."""

    priority = forms.CharField(
        required=False, initial="100", widget=forms.NumberInput(attrs={"min": 0, "max": MAX_INT})
    )
    max_attempts = forms.CharField(
        required=False, initial="3", widget=forms.NumberInput(attrs={"min": 1, "max": 1_000})
    )
    available = MomentField(label="Not before", required=False)
    model_hint = forms.CharField(required=False, widget=forms.TextInput(attrs={"list": "hc-models", "maxlength": 200}))
    dedupe_key = forms.CharField(required=False, widget=forms.TextInput(attrs={"maxlength": 400}))
    evidence_ref_json = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3, "dir": "ltr"}))
    reason = ReasonField(required=False)


class JobForm:
    """A submitted (POST) form, one filled from a job, or an empty one. ``zone`` is that of its time, or empty."""

    def __init__(self, request: HttpRequest, job: Job | None = None) -> None:
        typed: QueryDict | None = request.POST if request.method == "POST" else None
        # Until an interrogation is chosen, the page has no input fields.
        self._is_whole = job is not None or request.POST.get("step") in {"more", "preview", "enqueue"}
        self._actor = permissions.actor_of(request)
        wanted = job.interrogation_key if job else (request.GET if typed is None else typed).get("interrogation", "")
        self.interrogation = _chosen(wanted)
        if job:
            typed = typed_from(job, self.interrogation.input_model)
        self.input = input_form(self.interrogation.input_model, typed or QueryDict(), is_whole=self._is_whole)
        self.evidence, self._file_problems = read_evidence(request, QueryDict() if typed is None else typed)
        self.settings, self.zone = SettingsForm(typed, auto_id=False), zone_of(request.POST)
        self.form_id = as_guid(request.POST.get("form_id", "")) or uuid4()
        with as_typed(request.POST):
            self.settings.full_clean()

    @property
    def reason(self) -> str | None:
        """Why the job is queued, if a reason was given."""
        return self.settings.cleaned_data["reason"] or None

    def read(self) -> JobInput:
        """Return the job; raise ``InvalidJob`` with the problems."""
        values, unread = self.input.read()
        faults = self.settings.errors.items()
        unread += [f"{self.settings.fields[name].label}: {why}" for name, reasons in faults for why in reasons]
        if problems := [*self._file_problems, *unread]:
            raise InvalidJob(*problems)
        try:
            job = RecordCheck(live_registry(), import_id=new_import_id()).check(self._record(values), line=1).job
        except (RecordRefused, ValueError) as error:
            raise InvalidJob(str(error)) from error
        # The same form with the same content sent twice is one job; with other content it is another.
        content = hashlib.sha256(job.model_dump_json(exclude={"job_id"}).encode()).hexdigest()
        return job.model_copy(update={"job_id": uuid5(self.form_id, f"{self._actor} {content}")})

    def _record(self, values: dict[str, Any]) -> dict[str, Any]:
        how = self.settings.cleaned_data
        references = how["evidence_ref_json"] or None
        members = as_members(self.evidence)
        if takes_evidence(self.interrogation.input_model):
            more = values.get(EVIDENCE_MEMBER, {})
            values = {**values, EVIDENCE_MEMBER: {**(more if isinstance(more, dict) else {}), "evidence": members}}
        elif members and references:
            raise ValueError(
                "evidence: give either texts or references; this interrogation's input carries no evidence"
            )
        elif members:
            references = json.dumps({"items": members}, ensure_ascii=False)
        entity = {name: values[name] for name in ("entity_type", "entity_id") if isinstance(values.get(name), str)}
        return {
            "interrogation_key": self.interrogation.key,
            "input_json": json.dumps(values, ensure_ascii=False),
            "evidence_ref_json": references,
            "available_utc": how["available"].isoformat() if how["available"] else None,
            **{name: how[name] or None for name in ("priority", "max_attempts", "model_hint", "dedupe_key")},
            **entity,
        }


class InvalidJob(Exception):
    """The form is not a valid job; ``problems`` says why."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _chosen(key: str) -> LoadedInterrogation:
    """Return the requested interrogation, or the first one, which the form then shows."""
    try:
        return live_registry().get(key)
    except (RunError, ConfigurationError):
        return live_registry().all()[0]
