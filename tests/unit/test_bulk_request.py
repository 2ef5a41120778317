"""How many selected jobs one form may act on."""

from uuid import uuid4

import pytest
from django.http import QueryDict

from derive.admin.jobs.bulk.views import BulkRequest, InvalidRequest


def form(count: int) -> QueryDict:
    made = QueryDict("action=cancel", mutable=True)
    made.setlist("job", [f"{uuid4()}~NEW" for _ in range(count)])
    return made


def test_five_hundred_selected_jobs_may_be_acted_on() -> None:
    assert len(BulkRequest.read(form(500)).selected) == 500


@pytest.mark.parametrize(
    ("count", "says"), [(0, "Select the jobs"), (501, "Select at most 500"), (900, "Select at most 500")]
)
def test_no_job_or_more_than_five_hundred_are_refused(count: int, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        BulkRequest.read(form(count))
