"""That the mutation run tests what it says it does."""

from collections import Counter

import pytest

from tests.mutants.targets import TARGETS, Target


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.path)
def test_every_mutant_is_a_program_that_differs_in_one_place_and_has_a_name_of_its_own(target: Target) -> None:
    source = target.source()
    mutants = target.mutants()
    assert mutants
    assert [name for name, times in Counter(mutant.name for mutant in mutants).items() if times > 1] == []
    for mutant in mutants:
        assert mutant.text != source
        if target.path.endswith(".py"):
            compile(mutant.text, target.path, "exec")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.path)
def test_every_target_names_tests_that_exist(target: Target) -> None:
    assert target.tests
    assert target.missing_tests() == []
