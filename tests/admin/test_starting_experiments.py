"""An experiment is started in the browser: as the command does, after a look at how many jobs it makes, and once."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from derive.experiments.progress import progress_of
from derive.interrogations.sw_entity_facts_v1.output import VERSION
from derive.models import Batch, Experiment, Job
from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.admin.evaluation_scene import a_case

START = "/admin/derive/experiment/start/"


def filled(**values: Any) -> dict[str, Any]:
    rows = {"variant-TOTAL_FORMS": "2", "variant-INITIAL_FORMS": "0", "variant-0-version": VERSION}
    given = {"set_name": "heights", "form_id": str(uuid4()), "repeats": "2", "gates": "f1>=live\n\nrecall>=0.9\n"}
    return {**rows, **given, "variant-0-temperature": "0.5", "reason": "a try", **values}


def send(client: Client, action: str, **values: Any) -> Any:
    return client.post(START, filled(action=action, **values))


def test_a_set_is_chosen_first(browse: Browse, queue: JobQueue) -> None:
    operator = browse("operator")
    assert "There is no golden set" in operator.get(START).text
    a_case(queue)
    assert "?set_name=heights" in operator.get(START).text
    page = operator.get(START, {"set_name": "heights"})
    assert f'<option value="{VERSION}"' in page.text
    assert operator.get(START, {"set_name": "nothing"}).status_code == 400


def test_the_preview_says_how_many_jobs_it_makes_and_queues_none(browse: Browse, queue: JobQueue) -> None:
    a_case(queue)
    page = " ".join(send(browse("operator"), "preview").text.split())
    assert "That is 4 jobs: 2 variants, live included, 1 case, 2 times." in page
    assert not Experiment.objects.exists()
    assert not Batch.objects.exists()


def test_the_same_form_sent_twice_starts_one_experiment(browse: Browse, queue: JobQueue) -> None:
    a_case(queue)
    operator, form_id = browse("operator"), str(uuid4())
    addresses = {send(operator, "start", form_id=form_id)["Location"] for _ in range(2)}
    experiment = Experiment.objects.get()
    assert addresses == {reverse("admin:derive_experiment_change", args=[experiment.experiment_id])}
    assert Job.objects.count() == 4
    assert Batch.objects.count() == 1
    assert progress_of(experiment).is_filled
    assert (experiment.reason, experiment.gates_json) == ("a try", '{"gates": ["f1>=live", "recall>=0.9"]}')
    send(operator, "start", form_id=form_id, repeats="1")
    assert Experiment.objects.count() == 2, "another question is another experiment"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"variant-0-version": ""}, "name at least one variant"),
        ({"variant-0-version": "9.9.9"}, "known versions: "),
        ({"variant-0-temperature": "hot"}, "are not numbers"),
        ({"gates": "f9>=live"}, "is not a gate"),
        ({"repeats": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_tried_is_told_and_starts_nothing(
    browse: Browse, queue: JobQueue, values: dict[str, str], why: str
) -> None:
    a_case(queue)
    answer = send(browse("operator"), "start", **values)
    assert answer.status_code == 400
    assert why in answer.text
    assert not Experiment.objects.exists()


def test_cancelling_ends_the_jobs_and_only_who_runs_experiments_may(browse: Browse, queue: JobQueue) -> None:
    a_case(queue)
    operator, viewer = browse("operator"), browse("viewer")
    assert viewer.get(START).status_code == 403
    send(operator, "start")
    experiment = Experiment.objects.get()
    cancel = reverse("admin:derive_experiment_cancel", args=[experiment.experiment_id])
    assert cancel in operator.get(reverse("admin:derive_experiment_change", args=[experiment.experiment_id])).text
    assert viewer.post(cancel).status_code == 403
    assert operator.get(cancel).status_code == 405
    operator.post(cancel)
    assert progress_of(experiment).is_done
    assert set(Job.objects.values_list("status", flat=True)) == {"CANCELLED"}
