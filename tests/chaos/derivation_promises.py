"""Derivations: nothing is derived twice, every subject settles, and the answer in use is the one that it says."""

from collections import defaultdict
from collections.abc import Mapping
from uuid import UUID

from derive.evidence.references import EvidenceRefs
from derive.states import JobStatus, SubjectState
from tests.chaos.history import History, SubjectRow
from tests.chaos.promises import Broken

_STATES = {
    JobStatus.SUCCEEDED: SubjectState.CURRENT,
    JobStatus.FAILED: SubjectState.FAILED,
    JobStatus.DEADLETTER: SubjectState.FAILED,
    JobStatus.CANCELLED: SubjectState.FAILED,
}
"""The state of a subject whose newest job has ended so."""


def no_subject_was_derived_twice_for_one_fingerprint_definition_and_model(history: History) -> Broken:
    asked: dict[tuple[str, ...], list[UUID]] = defaultdict(list)
    for job in history.derived.values():
        # Neither the definition nor the model is changed, and nobody asks again.
        asked[job.derivation_key, job.entity_type, job.entity_id, _text_of(job.evidence_ref_json)].append(job.job_id)
    for (key, _, entity, _), jobs in asked.items():
        for job_id in jobs[1:]:
            yield job_id, f"{key} asked jobs {jobs[0]} and {job_id} about the same text of {entity}"


def every_subject_is_settled_as_its_newest_job_ended(history: History) -> Broken:
    for subject in history.subjects:
        job = history.jobs.get(subject.job_id) if subject.job_id else None
        if subject.state == SubjectState.RETIRED:
            continue
        if job is None or subject.state != _STATES.get(JobStatus(job.status)):
            yield (
                subject.job_id,
                f"{subject.entity_id} is {subject.state}, and its newest job {job.status if job else 'is not there'}",
            )


def an_answer_is_in_use_or_past(history: History) -> Broken:
    used = {subject.answer_job_id for subject in history.subjects if subject.state != SubjectState.RETIRED}
    for job_id in history.derived:
        is_answer = history.jobs[job_id].status == JobStatus.SUCCEEDED
        if is_answer and (job_id in used) == (job_id in history.past_answers):
            yield job_id, f"job {job_id} is {'in use and past' if job_id in used else 'neither in use nor past'}"
    for subject in history.subjects:
        if subject.state == SubjectState.CURRENT and not _is_of_its_job(history, subject):
            yield subject.job_id, f"{subject.entity_id} is CURRENT, and its answer is not its newest job's"


def every_text_has_a_subject_that_was_asked_about_it(history: History, texts: Mapping[str, str]) -> Broken:
    subjects = {subject.entity_id: subject for subject in history.subjects}
    for name, text in texts.items():
        subject = subjects.get(name)
        if subject is None or subject.state == SubjectState.RETIRED:
            yield None, f"{name} is there, and its subject is {subject.state if subject else 'not'}"
        elif subject.job_id in history.derived and text != _text_of(history.derived[subject.job_id].evidence_ref_json):
            yield subject.job_id, f"{name} has another text than the one that its newest job was asked about"
    for name, subject in subjects.items():
        if name not in texts and subject.state != SubjectState.RETIRED:
            yield subject.job_id, f"{name} is gone, and its subject is {subject.state}"


def _is_of_its_job(history: History, subject: SubjectRow) -> bool:
    run = history.runs.get(subject.run_id) if subject.run_id else None
    return subject.answer_job_id == subject.job_id and run is not None and run.job_id == subject.job_id


def _text_of(evidence_ref_json: str) -> str:
    return "\n".join(item.text or "" for item in EvidenceRefs.model_validate_json(evidence_ref_json).items)


BY_SQL = (
    no_subject_was_derived_twice_for_one_fingerprint_definition_and_model,
    every_subject_is_settled_as_its_newest_job_ended,
    an_answer_is_in_use_or_past,
)
