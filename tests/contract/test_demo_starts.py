"""The demo is started again: the same account, and no sample a second time."""

import pytest
from django.contrib.auth import get_user_model

from derive.demo.account import USERNAME, make_account
from derive.demo.queueing import queue_samples
from derive.demo.samples import load_samples
from derive.models import Job
from derive.queue import JobQueue


def test_samples_are_queued_once_for_each_model(queue: JobQueue) -> None:
    samples = load_samples()
    first, known = queue_samples(samples, model="holocron-demo")
    assert (len(first), known, Job.objects.count()) == (len(samples), 0, len(samples))
    assert queue_samples(samples, model="holocron-demo") == (first, len(samples))
    assert Job.objects.count() == len(samples)
    other, known = queue_samples(samples, model="llama3.2")
    assert (known, Job.objects.count()) == (0, 2 * len(samples))
    assert not first.keys() & other.keys()


@pytest.mark.django_db
def test_each_start_of_the_demos_own_instance_prints_the_same_password() -> None:
    password = make_account(own_world=True)
    assert password
    assert make_account(own_world=True) == password
    user = get_user_model().objects.get(username=USERNAME)
    assert user.check_password(password)
    user.set_password("chosen by somebody")
    user.save()
    assert make_account(own_world=True) is None
    user.refresh_from_db()
    assert user.check_password("chosen by somebody")


@pytest.mark.django_db
def test_in_another_instance_the_password_is_random_and_printed_once() -> None:
    password = make_account(own_world=False)
    assert password
    assert make_account(own_world=False) is None
    get_user_model().objects.all().delete()
    assert make_account(own_world=False) != password
