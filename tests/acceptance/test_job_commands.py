"""``enqueue_jobs`` and ``inspect_jobs`` as real processes, in a world of their own on the embedded PostgreSQL."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.command_world import DEADLINE_SECONDS, World, count, line, migrated


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated_cluster: Path) -> Iterator[World]:
    with migrated(tmp_path_factory.mktemp("world with a space"), migrated_cluster) as made:
        yield made


@pytest.fixture
def database(world: World) -> Iterator["psycopg.Connection[Any]"]:
    with world.connect() as connection:
        yield connection
        connection.execute("TRUNCATE llm.artifact, llm.run, llm.job_event, llm.job CASCADE")


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)
    return found


def waiting_backend(database: "psycopg.Connection[Any]") -> int | None:
    """The process of whoever waits for a lock to queue jobs."""
    row = database.execute(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%usp_enqueue_jobs%'"
    ).fetchone()
    return None if row is None else int(row[0])


def test_one_job_is_queued_by_its_options(world: World, database: "psycopg.Connection[Any]") -> None:
    options = ["--entity-type", "character", "--entity-id", "luke", "--evidence", "He is a pilot.", "--priority", "7"]
    code, printed, _ = world.run("enqueue_jobs", *options, "--dedupe-key", "luke", "--json")
    answer = json.loads(printed)
    assert (code, answer["status"], answer["is_duplicate"]) == (0, "NEW", False)
    code, printed, _ = world.run("enqueue_jobs", *options, "--dedupe-key", "luke")
    assert code == 0
    assert f"already queued as {answer['job_id']}" in printed
    code, printed, _ = world.run("inspect_jobs", "--job-id", answer["job_id"], "--json")
    story = json.loads(printed)
    assert code == 0
    assert (story["job"]["priority"], story["job"]["entity_id"]) == (7, "luke")
    assert [event["event"] for event in story["events"]] == ["enqueued"]


def test_a_job_against_its_contract_is_not_queued(world: World, database: "psycopg.Connection[Any]") -> None:
    code, printed, complained = world.run("enqueue_jobs", "--entity-type", "sandwich", "--entity-id", "ham")
    assert (code, printed) == (1, "")
    assert "invalid_input" in complained
    assert count(database) == 0


def test_one_bad_line_keeps_the_whole_file_out(world: World, database: "psycopg.Connection[Any]") -> None:
    content = f"{line('a')}\n{line('b', priority=-1)}\nnonsense\n{line('c')}\n"
    code, printed, complained = world.run("enqueue_jobs", "-", given=content)
    assert code == 1
    assert complained.splitlines()[0].startswith("line 2: priority")
    assert complained.splitlines()[1].startswith("line 3: is not JSON")
    assert "nothing was queued" in printed
    assert count(database) == 0


def test_a_missing_file_is_reported_in_one_line(world: World) -> None:
    code, printed, complained = world.run("enqueue_jobs", "nowhere.jsonl")
    assert (code, printed) == (2, "")
    assert complained == "enqueue_jobs: nowhere.jsonl: No such file or directory\n"


def test_good_lines_are_queued_when_the_bad_are_skipped(world: World, database: "psycopg.Connection[Any]") -> None:
    content = f"{line('a')}\n{{}}\n{line('b', dedupe_key='k')}\n{line('c', dedupe_key='k')}\n"
    code, printed, _ = world.run("enqueue_jobs", "-", "--skip-invalid", "--json", given=content)
    assert code == 1
    assert json.loads(printed) == {
        "lines": 4, "bad": 1, "dry_run": False, "without_evidence": 3, "queued": 2, "duplicates": 1, "last_line": 4
    }  # fmt: skip
    assert count(database) == 2


def test_a_dry_run_needs_no_database(world: World, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(
        'interrogation_key,priority,input\nsw_entity_facts_v1,5,"{""entity_type"": ""planet"", ""entity_id"": ""a""}"\n'
    )
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    code, printed, complained = world.run("enqueue_jobs", str(path), "--dry-run", "--json", DATABASE_URL=nowhere)
    assert code == 0, complained
    assert json.loads(printed)["lines"] == 1
    code, _, complained = world.run("enqueue_jobs", str(path), DATABASE_URL=nowhere)
    assert code == 2
    assert len(complained.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["jobs.jsonl", "--entity-id", "luke"],
        ["no/such/file.jsonl"],
        ["--priority", "high"],
        ["-", "--format", "xml"],
    ],
)
def test_what_cannot_start_exits_with_2(world: World, arguments: list[str]) -> None:
    code, printed, complained = world.run("enqueue_jobs", *arguments)
    assert (code, printed) == (2, "")
    assert complained


def test_ctrl_c_ends_the_batch_and_names_the_line_to_go_on_with(
    world: World, database: "psycopg.Connection[Any]", tmp_path: Path
) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text("\n".join(line(f"p{n}") for n in range(1, 5001)))
    with world.connect() as blocking, blocking.transaction():
        blocking.execute("LOCK TABLE llm.job IN SHARE MODE")
        process = world.start("enqueue_jobs", str(path), "--json")
        wait_until(lambda: waiting_backend(database), "the first batch waits for the lock")
        process.send_signal(signal.SIGINT)
    printed, complained = process.communicate(timeout=DEADLINE_SECONDS)
    stopped = json.loads(printed)
    assert process.returncode == 130
    assert (stopped["queued"], stopped["last_line"], stopped["next_line"]) == (2000, 2000, 2001)
    onward = complained.partition("continue with ")[2].split()
    assert onward == ["--from-line", "2001", "--import-id", stopped["import_id"]]
    code, printed, _ = world.run("enqueue_jobs", str(path), *onward, "--json")
    assert (code, json.loads(printed)["queued"], count(database)) == (0, 3000, 5000)


def test_losing_the_database_prints_a_command_that_continues(
    world: World, database: "psycopg.Connection[Any]", tmp_path: Path
) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(line("a"))
    with world.connect() as blocking, blocking.transaction():
        blocking.execute("LOCK TABLE llm.job IN SHARE MODE")
        process = world.start("enqueue_jobs", str(path))
        killed: set[int] = set()

        def ended_or_cut_off() -> bool:
            pid = waiting_backend(database)
            if pid is not None and pid not in killed:
                killed.add(pid)
                database.execute("SELECT pg_terminate_backend(%s)", [pid])
            return process.poll() is not None

        wait_until(ended_or_cut_off, "the command gives up")
        _printed, complained = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 2
    assert killed
    assert "nothing was queued; continue with --from-line 1 --import-id" in complained
    assert "Traceback" not in complained
    assert count(database) == 0


def test_jobs_are_listed_for_people_and_for_programs(world: World, database: "psycopg.Connection[Any]") -> None:
    nasty = line("c", entity_id="[bold]x[/bold]\u202e")
    world.run("enqueue_jobs", "-", given=f"{line('a')}\n{line('b')}\n{nasty}\n")
    code, printed, _ = world.run("inspect_jobs", "--list", "--limit", "2")
    assert code == 0
    assert "[bold]x[/bold]" in printed
    assert "\u202e" not in printed
    assert "/a" not in printed
    code, printed, _ = world.run("inspect_jobs", "--list", "--status", "new", "--json")
    assert [job["entity_id"] for job in json.loads(printed)] == ["[bold]x[/bold]\u202e", "b", "a"]
    code, printed, _ = world.run("inspect_jobs", "--stats", "--json")
    assert (code, json.loads(printed)["counts"]["NEW"]) == (0, 3)
    code, printed, _ = world.run("inspect_jobs", "--stats")
    assert (code, "NEW" in printed) == (0, True)


def test_a_jobs_history_is_readable(world: World, database: "psycopg.Connection[Any]") -> None:
    _, printed, _ = world.run("enqueue_jobs", "--entity-type", "planet", "--entity-id", "hoth", "--json")
    job_id = json.loads(printed)["job_id"]
    code, printed, _ = world.run("inspect_jobs", "--job-id", job_id)
    assert code == 0
    assert all(word in printed for word in (job_id, "hoth", "enqueued", "no runs", "no artifacts"))


def test_every_character_is_printed_under_an_ascii_locale(world: World, database: "psycopg.Connection[Any]") -> None:
    bare = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    entity_id = "Łuke \N{ROCKET} 日本"
    code, printed, _ = world.run("enqueue_jobs", "-", "--json", given=line("a", entity_id=entity_id))
    assert code == 0
    answer = '{"facts": [{"fact_key": "name", "value": "Łuke 日本", "evidence_ids": ["e1"], "quote": "Łuke"}]}'
    fact = {
        "fact_index": 0,
        "path": "facts[0]",
        "fact_key": "name",
        "value": "Łuke 日本",
        "quote": "Łuke",
        "evidence_id": "e1",
        "quote_start": 0,
        "quote_end": 4,
        "occurrences": 1,
        "proof": "words",
        "verdict": "SUPPORTED",
        "why": "the quote says so",
    }
    ((job_id, run_id),) = database.execute("SELECT job_id, run_id FROM llm.usp_claim_next_job('w')").fetchall()
    database.execute(
        "SELECT llm.usp_complete_job("
        "job_id => %s, run_id => %s, status => 'SUCCEEDED', run_json => %s, facts_json => %s)",
        [job_id, run_id, json.dumps({"output_json": answer}), json.dumps([fact])],
    )
    for command, *options in (
        ("inspect_jobs", "--list"),
        ("inspect_jobs", "--list", "--json"),
        ("inspect_jobs", "--job-id", str(job_id)),
        ("export_outputs", "-", "--format", "jsonl"),
        ("export_outputs", "-", "--format", "csv", "--facts"),
    ):
        code, printed, complained = world.run(command, *options, **bare)
        assert (code, "Traceback" in complained) == (0, False), (command, options, complained)
        assert entity_id in printed or json.dumps(entity_id).strip('"') in printed, (command, options)


@pytest.mark.parametrize("job_id", ["5f6ad6a2-6f0f-4a39-9f9c-0d3a2f0c9b11", "nonsense"])
def test_no_such_job_exits_with_1(world: World, job_id: str) -> None:
    code, printed, complained = world.run("inspect_jobs", "--job-id", job_id)
    assert (code, printed) == (1, "")
    assert "no such job" in complained


@pytest.mark.parametrize(
    "arguments", [[], ["--list", "--stats"], ["--list", "--limit", "0"], ["--list", "--status", "LOST"]]
)
def test_inspecting_nothing_sensible_exits_with_2(world: World, arguments: list[str]) -> None:
    assert world.run("inspect_jobs", *arguments)[0] == 2


@pytest.mark.parametrize("command", ["enqueue_jobs", "inspect_jobs"])
def test_help_shows_examples_as_they_are_typed(world: World, command: str) -> None:
    code, printed, _ = world.run(command, "--help")
    assert code == 0
    assert f"\n  manage.py {command} " in printed


def test_jobs_without_evidence_are_reported_once_and_queued_all_the_same(
    world: World, database: "psycopg.Connection[Any]", tmp_path: Path
) -> None:
    file = tmp_path / "jobs.jsonl"
    evidence = {"items": [{"text": "Ice."}]}
    file.write_text("\n".join([line("hoth"), line("endor"), line("bespin", evidence_ref=evidence)]))
    code, printed, told = world.run("enqueue_jobs", str(file), "--json")
    assert (code, json.loads(printed)["without_evidence"], count(database)) == (0, 2, 3)
    assert told.count("warning: 2 of 3 jobs carry no evidence") == 1
    _, _, told = world.run("enqueue_jobs", "--entity-type", "planet", "--entity-id", "hoth")
    assert "warning: the job carries no evidence" in told
