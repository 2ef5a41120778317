from holocron.environment import VARIABLES, read_environment


def test_an_empty_environment_gives_every_variable_its_default() -> None:
    assert set(read_environment({})) == {variable.name for variable in VARIABLES}
