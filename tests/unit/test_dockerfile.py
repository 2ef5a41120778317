"""The image is made of what this tree has, from pinned parts, and runs as nobody."""

import fnmatch
import json
import re

from gunicorn.config import Config

from holocron.settings import BASE_DIR
from tests.unit.compose_file import OURS, read_compose_file

TEXT = re.sub(r"\\\n", " ", (BASE_DIR / "Dockerfile").read_text("utf-8"))
INSTRUCTIONS = [
    (line.split(" ", 1)[0], line.split(" ", 1)[1].strip())
    for line in TEXT.splitlines()
    if line.strip() and not line.startswith("#")
]


def all_of(name: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


def copied() -> list[str]:
    """What comes from this tree, not from another stage."""
    return [source for rest in all_of("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]]


def test_both_stages_use_the_same_pinned_and_supported_python() -> None:
    images = [rest.split()[0] for rest in all_of("FROM")]
    assert len(images) == 2
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.1[123]\.\d+-slim-[a-z]+", images[0])


def test_everything_copied_is_there_and_let_through_to_the_build() -> None:
    ignored = (BASE_DIR / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    assert set(copied()) == let_through
    for source in copied():
        assert (BASE_DIR / source).exists(), source


def test_no_secret_can_reach_the_build() -> None:
    ignored = (BASE_DIR / ".dockerignore").read_text("utf-8").splitlines()
    let_through = [line[1:] for line in ignored if line.startswith("!")]
    for name in (".env", "var", "var/secret_key", ".git", "tests"):
        assert not any(fnmatch.fnmatch(name, pattern) for pattern in let_through)


def test_it_holds_every_folder_that_the_programs_read() -> None:
    wanted = {"holocron", "derive", "templates", "migrations_sql", "manage.py", "requirements.txt"}
    assert wanted <= set(copied())


def test_what_is_installed_is_checked_by_its_hash() -> None:
    installs = [rest for rest in all_of("RUN") if "pip install" in rest]
    assert len(installs) == 1
    assert "--require-hashes --requirement requirements.txt" in installs[0]


def test_the_drivers_libraries_come_from_the_system() -> None:
    final = TEXT.rpartition("\nFROM ")[2]
    for package in ("unixodbc", "libkrb5-3", "libgssapi-krb5-2"):
        assert re.search(rf"apt-get install .*\b{package}\b", final)


def test_it_runs_as_the_user_that_compose_names_and_owns_what_it_writes() -> None:
    (user,) = all_of("USER")
    services = read_compose_file()["services"]
    assert {services[name]["user"] for name in OURS} == {user}
    assert f"--uid {user.partition(':')[0]} " in TEXT
    for folder in ("/lake", read_compose_file()["services"]["web"]["environment"]["HOLOCRON_VAR"]):
        assert re.search(rf"install --directory --owner=holocron --group=holocron --mode=07[05]0 {folder}\b", TEXT)
    assert INSTRUCTIONS.index(("USER", user)) > max(
        index for index, (name, _rest) in enumerate(INSTRUCTIONS) if name in {"RUN", "COPY"}
    )


def test_the_web_server_is_one_that_needs_no_writable_folder() -> None:
    (command,) = all_of("CMD")
    program, *options = json.loads(command)
    assert program == "gunicorn"
    given = Config().parser().parse_args(options)
    assert (given.bind, given.args) == (["0.0.0.0:8000"], ["holocron.wsgi"])
    assert given.worker_tmp_dir == "/dev/shm"  # noqa: S108
    assert given.control_socket_disable
    assert all_of("EXPOSE") == ["8000"]
