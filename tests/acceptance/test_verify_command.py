"""``verify_runs`` as a real process, over runs that a real worker made."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command_world import World, migrated
from tests.fake_ollama import FakeOllama, behaviours

EVIDENCE = "Tala Venn was born on Corvessa."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated_cluster: Path) -> Iterator[World]:
    with migrated(tmp_path_factory.mktemp("world with a space"), migrated_cluster) as made, FakeOllama() as fake:
        made.environment |= {"OLLAMA_BASE_URL": fake.url, "LAKE_URL": str(made.folder / "lake")}
        for entity in ("tala", "umber"):
            ask = ("--interrogation", "sw_entity_facts_v1", "--entity-type", "character", "--entity-id", entity)
            code, _, complained = made.run("enqueue_jobs", *ask, "--evidence", EVIDENCE)
            assert code == 0, complained
        fake.next(behaviours.answer())
        code, _, complained = made.run("run_llm_worker", "--max-jobs", "2")
        assert code == 0, complained
        yield made


def folders(world: World) -> list[Path]:
    return sorted(path.parent for path in (world.folder / "lake").rglob("manifest.json"))


def test_runs_that_verify_end_it_with_0_and_one_line(world: World) -> None:
    for options in ((), ("--quick",), ("--since", "1h"), ("--run", folders(world)[0].name)):
        code, printed, complained = world.run("verify_runs", *options)
        assert (code, complained) == (0, ""), options
        (summary,) = printed.splitlines()
        assert summary.startswith(f"verified {'1 run' if '--run' in options else '2 runs'}, "), options
        assert summary.endswith("0 faults, 0 orphans")


def test_shards_together_verify_every_run_and_folder_once(world: World) -> None:
    orphans = [folders(world)[0].with_name(f"01234567-89ab-4cde-8f01-23456789abc{n}") for n in range(2)]
    for orphan in orphans:
        orphan.mkdir()
    try:
        found = []
        for shard in ("1/2", "2/2"):
            code, printed, complained = world.run("verify_runs", "--shard", shard, "--json")
            assert (code, complained) == (0, "")
            found.append([json.loads(line) for line in printed.splitlines()])
        assert [lines[-1]["runs"] for lines in found] == [1, 1]
        assert [[one["run_id"] for one in lines if one["kind"] == "orphan"] for lines in found] == (
            [[orphan.name] for orphan in orphans]
        )
    finally:
        for orphan in orphans:
            orphan.rmdir()


def test_faults_end_it_with_1_and_a_line_each(world: World) -> None:
    damaged, whole = folders(world)
    path = damaged / "prompt.txt"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"a", b"b", 1))
    try:
        code, printed, _ = world.run("verify_runs")
        fault, summary = printed.splitlines()
        assert code == 1
        assert fault.startswith(f"{damaged.name} prompt.txt bytes: has the SHA-256 ")
        assert summary.endswith("1 fault, 0 orphans")
        code, printed, _ = world.run("verify_runs", "--json")
        finding, summary = map(json.loads, printed.splitlines())
        assert code == 1
        assert (finding["kind"], finding["run_id"], finding["file"], finding["check"]) == (
            *("finding", damaged.name, "prompt.txt", "bytes"),
        )
        assert (summary["kind"], summary["runs"], summary["findings"]) == ("summary", 2, 1)
        assert world.run("verify_runs", "--run", whole.name)[0] == 0
        assert world.run("verify_runs", "--run", damaged.name)[0] == 1
    finally:
        path.write_bytes(before)


def test_orphans_are_listed_apart_and_end_it_with_0(world: World) -> None:
    orphan = folders(world)[0].with_name("01234567-89ab-4cde-8f01-23456789abcd")
    orphan.mkdir()
    try:
        code, printed, _ = world.run("verify_runs")
        title, line, summary = printed.splitlines()
        assert (code, title) == (0, "Orphans (not faults):")
        assert line.startswith(f"{orphan.name} llm_runs/")
        assert line.endswith(": SQL does not know this run")
        assert summary.endswith("0 faults, 1 orphan")
    finally:
        orphan.rmdir()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--run", "01234567-89ab-4cde-8f01-23456789abcd"), "there is no run 01234567"),
        (("--run", "nonsense"), "'nonsense' is not a run id"),
        (("--shard", "3/2"), "'3/2' is not K/N with K from 1 to N"),
        (("--shard", "1/2", "--run", "01234567-89ab-4cde-8f01-23456789abcd"), "cannot be used together"),
        (("--since", "yesterday"), "'yesterday' is not a time: write"),
        (("--since", "999999w"), "'999999w' is not a time: write"),
    ],
)
def test_it_exits_with_2_and_the_reason_if_it_cannot_verify(world: World, options: tuple[str, ...], why: str) -> None:
    code, printed, complained = world.run("verify_runs", *options)
    assert (code, printed) == (2, "")
    assert why in complained


def test_a_lake_that_is_not_there_ends_it_with_2(world: World) -> None:
    code, _, complained = world.run("verify_runs", LAKE_URL=str(world.folder / "nowhere"))
    assert code == 2
    assert "The lake at " in complained
