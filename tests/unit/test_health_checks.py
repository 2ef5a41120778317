"""Health for the dashboard: looked at elsewhere, kept, and never waited for."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from django.utils.functional import SimpleLazyObject
from pytest_django.fixtures import Settings

from derive.admin.dashboard import health_checks
from derive.admin.dashboard.health_checks import HealthChecks, check_model_servers
from derive.health import ReadinessCheck
from derive.model_servers.endpoints import EndpointSettings, read_endpoints
from derive.model_servers.settings import ModelSettings
from tests.fake_ollama import FakeOllama

WELL = ReadinessCheck("lake", ok=True)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_result_is_cached_until_it_is_too_old() -> None:
    clock, looks = Clock(), 0

    def check() -> Sequence[ReadinessCheck]:
        nonlocal looks
        looks += 1
        return (WELL,)

    kept = HealthChecks((check,), clock=clock)
    assert _settled(kept) == (WELL,)
    assert _settled(kept) == (WELL,)
    assert looks == 1
    clock.now += health_checks.KEPT_SECONDS
    kept.parts()
    _settled(kept)
    assert looks == 2


def test_callers_do_not_wait_for_a_check_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "PATIENCE_SECONDS", 0.001)
    go_on = threading.Event()

    def check() -> Sequence[ReadinessCheck]:
        assert go_on.wait(10)
        return (WELL,)

    slow = HealthChecks((check,))
    assert slow.parts() == ()
    assert slow.parts() == ()
    go_on.set()
    assert _settled(slow) == (WELL,)


def test_a_check_that_breaks_is_reported_as_its_failure_and_the_others_are_made() -> None:
    def check_moon() -> Sequence[ReadinessCheck]:
        raise ZeroDivisionError("password=canary")

    broken = HealthChecks((check_moon, lambda: (WELL,)))
    moon, lake = _settled(broken)
    assert (moon.name, moon.ok, moon.reason) == ("moon", False, "ZeroDivisionError; see the log")
    assert lake == WELL


def test_ollama_is_well_when_it_has_the_model_and_else_the_reason_is_reported(settings: Settings) -> None:
    with FakeOllama() as fake:
        settings.OLLAMA = settings.OLLAMA.model_copy(update={"base_url": fake.url})
        (part,) = check_model_servers()
        assert part.ok, part.reason
        settings.OLLAMA = settings.OLLAMA.model_copy(update={"model": "no-such-model"})
        (part,) = check_model_servers()
        assert not part.ok
        assert "no-such-model" in part.reason
    settings.OLLAMA = settings.OLLAMA.model_copy(update={"base_url": "http://user:canary@127.0.0.1:9"})
    (part,) = check_model_servers()
    assert not part.ok
    assert "canary" not in part.reason


def test_each_endpoint_of_the_file_is_named(settings: Settings) -> None:
    with FakeOllama() as fake:
        up, down = (
            EndpointSettings(name=name, slots=1, models=(), server=ModelSettings(endpoint=name, base_url=url))
            for name, url in (("up", fake.url), ("down", "http://127.0.0.1:9"))
        )
        settings.ENDPOINTS = (up, down)
        well, ill = check_model_servers()
    assert (well.name, well.ok) == ("endpoint up", True)
    assert (ill.name, ill.ok) == ("endpoint down", False)


def test_an_invalid_endpoints_file_is_reported(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    settings.ENDPOINTS = SimpleLazyObject(lambda: read_endpoints(file, environment={}, defaults=ModelSettings()))
    (part,) = check_model_servers()
    assert (part.name, part.ok) == ("endpoints", False)
    assert "cannot be read" in part.reason


def _settled(looked_at: HealthChecks) -> tuple[ReadinessCheck, ...]:
    """Return the parts once no look is under way."""
    looked_at.parts()
    thread = looked_at._looking
    if thread is not None:
        thread.join(10)
    return looked_at._parts
