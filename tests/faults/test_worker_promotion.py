"""Workers run the promoted version, learn of a promotion without a restart, and never run another one in its place."""

import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from derive.admin.dashboard.health_checks import check_interrogations
from derive.errors import ConfigurationError
from derive.interrogations import sw_entity_facts_v1
from derive.interrogations.live_registry import LiveRegistry
from derive.interrogations.registry import Registry
from derive.live_versions import load_live
from derive.models import InterrogationLive
from derive.worker.refusals import PROMOTIONS_SECONDS, Refusals
from tests.faults.worker_world import KEY, OPERATOR, World

OLD = "1.0.0"


@pytest.fixture
def both(world: World, tmp_path: Path) -> World:
    """A world in which an old version is installed beside the built-in one, both registered."""
    package = tmp_path / f"{KEY}@{OLD}"
    source = Path(sw_entity_facts_v1.__file__).parent
    package.mkdir()
    for name in ("prompt.md", "output.py", "rubric.md"):
        shutil.copy(source / name, package / name)
    code = package / "output.py"
    code.write_text(code.read_text().replace(f'VERSION = "{newest()}"', f'VERSION = "{OLD}"'))
    world.interrogations_folder = tmp_path
    for one in Registry.load(tmp_path).all():
        world.queue.register(
            **{name: getattr(one.definition, name) for name in ("definition_sha256", "interrogation_key", "version")},
            **{name: getattr(one.definition, name) for name in ("prompt_template", "output_schema_json", "rubric")},
        )
    return world


def newest() -> str:
    return Registry.load(None).get(KEY).version


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("promote", *arguments, stdout=out, stderr=err)
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def test_a_job_gets_the_promoted_version_and_the_highest_if_none_is(both: World) -> None:
    first = both.enqueue()
    both.work()
    assert both.run(first).interrogation_version == newest()
    both.queue.promote_interrogation(KEY, OLD, actor=OPERATOR)
    second = both.enqueue()
    both.work()
    assert both.run(second).interrogation_version == OLD
    assert load_live(both.interrogations_folder).get(KEY).version == OLD


def test_a_worker_without_the_live_version_leaves_its_jobs_unharmed(both: World) -> None:
    both.queue.promote_interrogation(KEY, OLD, actor=OPERATOR)
    folder, both.interrogations_folder = both.interrogations_folder, None
    job = both.enqueue()
    assert both.work(once=True).runs == 0
    assert (both.job(job).status, both.job(job).attempt_count, both.runs(job)) == ("NEW", 0, [])
    (part,) = check_interrogations()
    assert part.reason.startswith(f"{KEY}: its live version is not installed here (installed: {newest()})")
    with pytest.raises(ConfigurationError, match=f"live version is not installed here .installed: {newest()}"):
        load_live(None).get(KEY)
    both.interrogations_folder = folder
    both.work()
    assert both.run(job).interrogation_version == OLD


def test_a_running_worker_picks_a_promotion_and_a_rollback_up(both: World) -> None:
    now = [0.0]
    live = LiveRegistry(both.interrogations_folder)
    refusals = Refusals(live, queue=both.queue, clock=lambda: now[0])
    refusals.keys()
    both.queue.promote_interrogation(KEY, newest(), actor=OPERATOR)
    both.queue.promote_interrogation(KEY, OLD, actor=OPERATOR)
    refusals.keys()
    assert live.current.get(KEY).version == newest(), "it is read every two seconds at most"
    now[0] += PROMOTIONS_SECONDS
    assert refusals.keys() == frozenset()
    assert live.current.get(KEY).version == OLD
    both.queue.roll_back_interrogation(KEY, actor=OPERATOR)
    now[0] += PROMOTIONS_SECONDS
    refusals.keys()
    assert live.current.get(KEY).version == newest()


def test_a_folder_named_after_another_version_is_broken(both: World) -> None:
    folder = both.interrogations_folder
    assert folder is not None
    (folder / f"{KEY}@{OLD}").rename(folder / f"{KEY}@7.0.0")
    assert f"call it {KEY}@{OLD}" in Registry.load(folder).broken[f"{KEY}@7.0.0"]


def test_the_command_promotes_rolls_back_and_sets_gates(both: World, settings: Any) -> None:
    settings.INTERROGATIONS_FOLDER = both.interrogations_folder
    assert run(KEY, newest())[:2] == (0, f"{KEY} {newest()} is live now.\n")
    assert run(KEY, OLD, "--json")[0] == 0
    assert run(KEY, "--rollback", "--reason", "worse")[:2] == (0, f"{KEY} {newest()} is live now.\n")
    code, out, _err = run(KEY, "--rollback")
    assert (code, out) == (1, f"Refused: no version of {KEY} was promoted before the live one.\n")
    assert run(KEY, "--gate", "heights", "f1 >= live")[:2] == (0, "The gate is f1>=live on heights.\n")
    code, out, _err = run(KEY, OLD)
    assert (code, out) == (
        1,
        f"Refused: no experiment on the golden set heights has passed the gate of {KEY} with {OLD}.\n",
    )
    assert run(KEY, "--no-gate")[0] == 0
    assert InterrogationLive.objects.get().gate_set is None


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        ((KEY,), 2, "give one of VERSION"),
        ((KEY, "1.0.0", "--rollback"), 2, "give one of VERSION"),
        ((KEY, "--gate", "heights"), 2, "at least one condition"),
        ((KEY, "--gate", "heights", "f9>1"), 2, "is not a gate"),
        ((KEY, "9.9.9"), 1, "9.9.9 is not registered"),
        (("nobody", "1.0.0"), 1, "nobody 1.0.0 is not registered"),
    ],
)
def test_what_cannot_be_promoted_is_told(world: World, arguments: tuple[str, ...], code: int, why: str) -> None:
    given, out, err = run(*arguments)
    assert given == code
    assert why in out + err
