"""That the mutation run tests what it says it does."""

import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants.__main__ import ACCEPTED
from tests.mutants.grafting import changed_function
from tests.mutants.mutation import Mutant
from tests.mutants.results import Journal, Result, Verdict, tally
from tests.mutants.targets import TARGETS, Target

TARGET = next(target for target in TARGETS if target.path == "derive/backoff.py")
SOURCE = TARGET.source()


def mutant_of(before: str, after: str) -> Mutant:
    assert SOURCE.count(before) == 1
    return Mutant(TARGET.path, 1, "here", f"{before} → {after}", SOURCE.replace(before, after))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.title)
def test_every_mutant_compiles_differs_in_one_place_and_has_a_unique_name(target: Target) -> None:
    source = target.source()
    mutants = target.mutants()
    assert mutants
    assert [name for name, times in Counter(mutant.name for mutant in mutants).items() if times > 1] == []
    for mutant in mutants:
        assert mutant.text != source
        if target.path.endswith(".py"):
            compile(mutant.text, target.path, "exec")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.title)
def test_every_target_names_tests_that_exist(target: Target) -> None:
    assert target.tests
    assert target.missing_tests() == []


@pytest.mark.slow
def test_every_survivor_that_is_listed_is_a_mutant_and_has_a_reason() -> None:
    lists = tomllib.loads(ACCEPTED.read_text("utf-8"))
    assert sorted(lists) == ["accepted", "equivalent"]
    names = {mutant.name for target in TARGETS for mutant in target.mutants()}
    listed = {**lists["accepted"], **lists["equivalent"]}
    assert sorted(listed.keys() - names) == []
    assert all(listed.values())


def test_a_mutant_is_known_by_the_function_that_it_changes() -> None:
    assert changed_function(mutant_of("max(attempt_count - 1", "max(attempt_count + 1")) == "backoff_seconds"


def test_a_mutant_of_what_runs_at_import_changes_no_function() -> None:
    assert changed_function(mutant_of("JITTER = 0.2", "JITTER = 1.2")) is None


def test_lines_that_move_change_no_function() -> None:
    assert changed_function(mutant_of("from random import Random\n", "from random import Random\n\n\n")) is None


def test_a_result_holds_until_the_mutant_or_the_test_that_decided_changes(tmp_path: Path) -> None:
    mutant = mutant_of("1 + JITTER", "1 - JITTER")
    journal = Journal(tmp_path / "results.jsonl")
    journal.append(Result.of(mutant, TARGET, Verdict.KILLED, "tests/unit/test_backoff.py::test_it", 0.1))
    with journal.path.open("a") as file:
        file.write('{"name": "cut o')
    (result,) = journal.read().values()
    assert result.still_holds(mutant, TARGET)
    assert not result.still_holds(replace(mutant, text=SOURCE), TARGET)
    assert not replace(result, killed_by="tests/unit/test_states.py::test_it").still_holds(mutant, TARGET)
    assert not replace(result, killed_by="tests/unit/test_gone.py::test_it").still_holds(mutant, TARGET)


def test_equivalent_mutants_count_for_nothing_and_accepted_ones_against_the_tests() -> None:
    mutants = [Mutant(TARGET.path, 1, "here", str(number), SOURCE) for number in range(5)]
    verdicts = [Verdict.KILLED, Verdict.TIMED_OUT, Verdict.SURVIVED, Verdict.SURVIVED, Verdict.INVALID]
    results = {
        mutant.name: Result.of(mutant, TARGET, verdict, "", 0.1)
        for mutant, verdict in zip(mutants, verdicts, strict=True)
    }
    reason = {mutants[2].name: "why"}
    none: dict[str, str] = {}
    one = tally(TARGET, mutants, results, equivalent=reason, accepted=none)
    assert (one.mutants, one.killed, one.timed_out, one.unlisted) == (4, 2, 1, (mutants[3].name,))
    assert round(one.share) == 67
    assert tally(TARGET, mutants, results, equivalent=none, accepted=reason).share == 50
