"""A derivation with a subject of several states, whose texts are hostile."""

from uuid import uuid4

from derive.contracts import JobInput
from derive.derivation_contracts import Declaration, SubjectChange
from derive.models import Derivation
from derive.queue import JobQueue
from derive.states import SubjectState
from tests.admin.conftest import HOSTILE
from tests.contract.scenes import ACTOR, KEY

NAME = "planet-facts"


def a_derivation(queue: JobQueue) -> Derivation:
    """Declare one in the database, paused, with a missing, a queued and a retired subject."""
    declaration = Declaration(source="planets", interrogation=KEY, schedule="0 3 * * *", depth_limit=100)
    queue.declare_derivation(NAME, declaration, declared_in="admin", actor=ACTOR)
    job = JobInput(interrogation_key=KEY, input_json="{}", job_id=uuid4())
    asked = {"evidence_sha256": "ab" * 32, "definition_sha256": "cd" * 32, "model": "llama3.2", "job_id": job.job_id}
    changes = [
        SubjectChange(entity_type="planet", entity_id=HOSTILE, state=SubjectState.MISSING),
        SubjectChange(entity_type="planet", entity_id="hoth", state=SubjectState.QUEUED, **asked),
        SubjectChange(entity_type="planet", entity_id="gone", state=SubjectState.RETIRED, why=HOSTILE),
    ]
    queue.set_subjects(NAME, changes, actor=ACTOR, jobs=[job])
    queue.pause_derivation(NAME, actor=ACTOR, paused=True, reason=HOSTILE)
    row: Derivation = Derivation.objects.get(derivation_key=NAME)
    return row
