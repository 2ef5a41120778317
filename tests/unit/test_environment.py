"""What the environment's variables may say, and what is said when they say something else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.environment import VARIABLES, SettingsError, Variable, read_environment
from holocron.settings import BASE_DIR

# What follows it in .env.example is read by the compose file alone.
COMPOSE_MARK = "# ---- docker compose"


def read_example(path: Path) -> dict[str, str]:
    text = path.read_text("utf-8").partition(COMPOSE_MARK)[0]
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_an_empty_environment_gives_every_variable_its_default() -> None:
    values = read_environment({})
    assert set(values) == {variable.name for variable in VARIABLES}
    assert values["OLLAMA_NUM_CTX"] == 8192
    assert values["DEBUG"] is False
    assert values["ALLOWED_HOSTS"] == ("localhost", "127.0.0.1", "[::1]")


def test_a_blank_value_has_the_default() -> None:
    assert read_environment({"OLLAMA_SEED": "  "})["OLLAMA_SEED"] == 0


def test_a_password_keeps_its_blanks() -> None:
    assert read_environment({"DATABASE_PASSWORD": " p "})["DATABASE_PASSWORD"] == " p "


def test_the_example_file_names_every_variable_with_its_default() -> None:
    assert read_example(BASE_DIR / ".env.example") == {variable.name: variable.default for variable in VARIABLES}


def test_the_example_file_describes_every_variable() -> None:
    prose = " ".join((BASE_DIR / ".env.example").read_text("utf-8").replace("\n# ", " ").split()).lower()
    for variable in VARIABLES:
        assert variable.meaning.lower() in prose, variable.name


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("OLLAMA_SEED", "abc", "whole number from 0"),
        ("OLLAMA_SEED", "1_000", "whole number"),
        ("OLLAMA_NUM_CTX", "0", "from 256"),
        ("OLLAMA_NUM_CTX", "8192.0", "whole number"),
        ("OLLAMA_TEMPERATURE", "nan", "a number from 0 to 2"),
        ("OLLAMA_TEMPERATURE", "2.1", "a number from 0 to 2"),
        ("OLLAMA_IDLE_SECONDS", "-1", "a number from 0.1"),
        ("OLLAMA_TIMEOUT_SECONDS", "inf", "a number"),
        ("OLLAMA_BASE_URL", "127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("OLLAMA_BASE_URL", "http://user:sec/ret@host", "percent-encode"),
        ("OLLAMA_BASE_URL", "http://host/?key=1", "without query"),
        ("OLLAMA_BASE_URL", f"http://{'h' * 400}", "at most 400 characters"),
        ("OLLAMA_API_KEY", "two words", "without spaces"),
        ("OLLAMA_API_KEY", "clé", "ASCII"),
        ("OLLAMA_BASE_URL", "http://host:99999", "write an address"),
        ("OLLAMA_BASE_URL", "file:///etc/passwd", "write an address"),
        ("OLLAMA_KEEP_ALIVE", "five", "5m"),
        ("WORKER_CONCURRENCY", "0", "from 1 to 1000"),
        ("WORKER_ID", "x" * 201, "at most 200"),
        ("WORKER_ID", "a\nb", "printable"),
        ("LAKE_URL", "ftp://host/lake", "s3"),
        ("HOLOCRON_VAR", "a\x00b", "printable"),
        ("DEBUG", "maybe", "true or false"),
        ("ALLOWED_HOSTS", "https://example.org", "host names"),
        ("CSRF_TRUSTED_ORIGINS", "example.org", "https://holocron.example"),
        ("DATABASE_PASSWORD", "a\nb", "no control characters"),
        ("LOG_FORMAT", "xml", "text or json"),
    ],
)
def test_a_wrong_value_names_the_variable_and_what_to_write(name: str, value: str, advice: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_environment({name: value})
    assert str(caught.value).startswith(f"{name}=")
    assert advice in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.sampled_from(VARIABLES), st.text(max_size=40))
def test_any_text_is_a_value_or_one_printable_line(variable: Variable, text: str) -> None:
    said = ""
    try:
        read_environment({variable.name: text})
    except SettingsError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "hush\x00"),
        ("OLLAMA_BASE_URL", "http://ada:hush@127.0.0.1:11434/?key=1"),
        ("OLLAMA_API_KEY", "hush hush"),
        ("CSRF_TRUSTED_ORIGINS", "https://ada:hush@host/path"),
        ("OLLAMA_SEED", "http://ada:hush@host"),
    ],
)
def test_the_error_does_not_contain_a_secret(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_environment({name: value})
    assert name in str(caught.value)
    assert "hush" not in str(caught.value)


PATHS = ("LAKE_URL", "HOLOCRON_VAR", "HOLOCRON_INTERROGATIONS", "HOLOCRON_REDACTIONS", "DATABASE_PASSWORD_FILE")


@pytest.mark.parametrize("name", [*PATHS, "OLLAMA_API_KEY_FILE", "OLLAMA_CA_FILE"])
def test_a_tilde_is_the_home_folder_and_never_a_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert read_environment({name: "~/lk"})[name] == "/home/ada/lk"
    assert read_environment({name: "a~b"})[name] == "a~b"
    with pytest.raises(SettingsError, match="home folder"):
        read_environment({name: "~nobody-of-this-name/lk"})
