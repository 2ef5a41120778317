"""The command that gets a model is safe to paste, whatever the model is called."""

import shlex

import pytest

from derive.admin.display.commands import pull_command
from derive.admin.jobs.fixes import MAX_COMMANDS, commands_for


@pytest.mark.parametrize("model", ["llama3.2", "hf.co/a/b:Q4_K_M", "a; rm -rf ~", "$(reboot)", "it's", "--insecure"])
def test_a_models_name_is_one_argument(model: str) -> None:
    words = shlex.split(pull_command(model))
    assert words[:2] == ["ollama", "pull"]
    assert words[2:] == (["--", model] if model.startswith("-") else [model])


def test_each_missing_model_has_one_command_and_other_errors_have_none() -> None:
    assert commands_for("model_not_found", ["b", "a", "b"]) == ["ollama pull a", "ollama pull b"]
    assert len(commands_for("model_not_found", map(str, range(100)))) == MAX_COMMANDS
    assert commands_for("model_crashed", ["a"]) == []
