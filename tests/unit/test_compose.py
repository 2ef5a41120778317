"""The compose file is one that Compose takes, names only what exists, and starts nothing with more than it needs."""

import ast
import json
import re
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from django.core.management import get_commands, load_command_class
from django.urls import resolve

from derive.schedules.heartbeats import ALIVE_SECONDS
from derive.sql.set_up.logins import ROLES_OF
from holocron.database_url import read_database_url
from holocron.environment import VARIABLES, read_environment
from holocron.settings import BASE_DIR
from tests.unit.compose_file import OURS, example_variables, read_compose_file, variables_named, vendored_schema

PASSWORDS = {
    "MSSQL_SA_PASSWORD": "Sa;{}@%$1",
    "HOLOCRON_WORKER_PASSWORD": "Worker;{}@%$1",
    "HOLOCRON_WEB_PASSWORD": "Web;{}@%$1",
    "SECRET_KEY": "s" * 50,
}
OF_ALERTS = {"ALERT_WEBHOOK_SECRET": "Alerts;{}@%$1 of 16", "EMAIL_PASSWORD": "Mail;{}@%$1"}
MAY_BE_EMPTY = {"HOLOCRON_ADMIN_PASSWORD": "Admin;{}@%$1", **OF_ALERTS}
FILLED = example_variables() | PASSWORDS | MAY_BE_EMPTY
WRITTEN = read_compose_file()
SERVICES: dict[str, dict[str, Any]] = read_compose_file(FILLED)["services"]
HEARTBEAT_SECONDS = ALIVE_SECONDS / 3
SECRET = re.compile(r"PASSWORD|SECRET|KEY$")


def environment_of(service: str) -> dict[str, str]:
    return dict(SERVICES[service].get("environment", {}))


def mounted(service: str) -> dict[str, str]:
    """Return where a service has each volume."""
    return dict(mount.split(":") for mount in SERVICES[service].get("volumes", []) if isinstance(mount, str))


def bound(service: str, services: dict[str, Any] = SERVICES) -> list[dict[str, Any]]:
    """Return what a service is given of the host's files."""
    return [mount for mount in services[service].get("volumes", []) if not isinstance(mount, str)]


def seconds(duration: str) -> int:
    assert re.fullmatch(r"\d+s", duration)
    return int(duration[:-1])


def test_it_is_a_compose_file() -> None:
    schema = vendored_schema("compose-spec")
    jsonschema.Draft7Validator(schema).validate(WRITTEN)
    jsonschema.Draft7Validator(schema).validate(read_compose_file(FILLED))


def test_it_starts_the_whole_stack() -> None:
    assert set(SERVICES) == {"sqlserver", "ollama", "ollama-gpu", "ollama-pull", *OURS}
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"ollama-gpu"}


def test_every_variable_is_in_the_example_and_every_compose_variable_is_used() -> None:
    example = example_variables()
    assert variables_named() <= set(example)
    assert set(example) - {variable.name for variable in VARIABLES} <= variables_named()


@pytest.mark.parametrize("name", PASSWORDS)
def test_without_a_password_nothing_starts(name: str) -> None:
    with pytest.raises(KeyError, match=f"{name}: write .* into .env"):
        read_compose_file(FILLED | {name: ""})


def test_every_service_volume_and_secret_named_exists() -> None:
    assert {name for service in SERVICES for name in mounted(service)} == set(WRITTEN["volumes"])
    assert not any("secrets" in service or "configs" in service for service in SERVICES.values())
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] in {"service_healthy", "service_completed_successfully"}, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}, which has none"
            else:
                assert SERVICES[other]["restart"] == "no", f"{name} waits for the end of {other}"
    assert mounted("llm-worker") == {"llm_lake": "/lake"}
    assert SERVICES["ollama"]["volumes"] == ["ollama_data:/root/.ollama"]


@pytest.mark.parametrize("service", ["migrate", "llm-worker", "qcluster"])
def test_every_command_is_one_of_manage_py_with_options_that_it_has(service: str) -> None:
    python, program, name, *options = SERVICES[service]["command"]
    assert (python, program) == ("python", "manage.py")
    app = get_commands()[name]
    command = load_command_class(app, name) if isinstance(app, str) else app
    command.create_parser(program, name).parse_args(options)


@pytest.mark.parametrize("service", OURS)
def test_every_setting_of_a_service_is_one_and_has_a_value_that_can_be_used(service: str) -> None:
    environment = environment_of(service)
    assert set(environment) <= {variable.name for variable in VARIABLES}
    values = read_environment(environment)
    database = read_database_url(values["DATABASE_URL"], var_folder=BASE_DIR, password=values["DATABASE_PASSWORD"])
    assert (database["ENGINE"], database["HOST"], database["NAME"]) == ("mssql", "sqlserver", "Holocron")
    assert values["LAKE_URL"] == "/lake"
    assert len(values["SECRET_KEY"]) == 50


def test_every_part_logs_in_as_itself_and_only_the_set_up_as_administrator() -> None:
    users = {service: urlsplit(environment_of(service)["DATABASE_URL"]).username for service in OURS}
    assert users == {
        "migrate": "sa",
        "web": "holocron_web",
        "qcluster": "holocron_web",
        "llm-worker": "holocron_worker",
    }
    assert {user for user in users.values() if user != "sa"} == set(ROLES_OF)
    for service in OURS:
        own = PASSWORDS[{"sa": "MSSQL_SA_PASSWORD"}.get(str(users[service]), f"{users[service]}_password".upper())]
        assert environment_of(service)["DATABASE_PASSWORD"] == own
        if service != "migrate":
            others = {*PASSWORDS.values(), *MAY_BE_EMPTY.values()} - {own, PASSWORDS["SECRET_KEY"]}
            others -= set(OF_ALERTS.values()) if service == "qcluster" else set()
            assert not others & set(environment_of(service).values())


def test_the_scheduler_is_told_where_alerts_go_and_nobody_else() -> None:
    names = {name for name in example_variables() if name.startswith(("ALERT_", "EMAIL_", "HOLOCRON_PUBLIC_"))}
    told = {service: names & set(environment_of(service)) for service in OURS}
    assert told.pop("qcluster") == {name for name in names if not name.endswith("_FILE")}
    assert not any(told.values())


def test_no_password_is_in_the_file_or_on_a_command_line() -> None:
    for service in WRITTEN["services"].values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name):
                empty_or_said = ":-" if name in MAY_BE_EMPTY else r":\?[a-z0-9 .A-Z]+"
                assert re.fullmatch(rf"\$\{{[A-Z_]+{empty_or_said}\}}", value), name
            assert not urlsplit(value).password if "://" in value else True
        said = json.dumps([service.get(name) for name in ("command", "entrypoint", "healthcheck")])
        assert not SECRET.search(said)


@pytest.mark.parametrize("service", OURS)
def test_services_run_unprivileged_and_write_only_to_the_lake_and_uploads(service: str) -> None:
    written = SERVICES[service]
    assert written["read_only"] is True
    assert written["tmpfs"] == ["/tmp"]  # noqa: S108
    assert int(written["user"].partition(":")[0]) > 0
    assert written["cap_drop"] == ["ALL"]
    uploads = {"web_var": environment_of(service)["HOLOCRON_VAR"]} if service == "web" else {}
    assert mounted(service).items() <= ({"llm_lake": "/lake"} | uploads).items()
    assert all(mount["read_only"] is True for mount in bound(service))
    assert "privileged" not in written


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_gains_privileges_and_every_one_has_a_restart_policy(service: str) -> None:
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[service]["restart"] == {"migrate": "no", "ollama-pull": "on-failure:3"}.get(
        service, "unless-stopped"
    )


def test_only_the_web_server_is_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:8000:8000"]}
    assert not any("network_mode" in service for service in SERVICES.values())


def test_workers_can_be_scaled() -> None:
    assert not any("container_name" in service for service in SERVICES.values())
    assert "WORKER_ID" not in environment_of("llm-worker")


def test_a_stop_leaves_the_worker_its_grace_time_and_some() -> None:
    worker = SERVICES["llm-worker"]
    assert seconds(worker["stop_grace_period"]) >= int(worker["environment"]["WORKER_GRACE_SECONDS"]) + 10


def test_the_web_servers_health_is_an_address_that_it_has_and_answers_to() -> None:
    address = health_address("web")
    assert address.port == 8000
    assert resolve(address.path)
    for hosts in ("", "holocron.example"):
        allowed = read_compose_file(FILLED | {"ALLOWED_HOSTS": hosts})["services"]["web"]["environment"][
            "ALLOWED_HOSTS"
        ]
        assert address.hostname in read_environment({"ALLOWED_HOSTS": allowed})["ALLOWED_HOSTS"]


def test_the_schedulers_health_is_a_command_that_there_is_and_comes_after_its_first_heartbeat() -> None:
    health = SERVICES["qcluster"]["healthcheck"]
    how, python, program, name, *options = health["test"]
    assert (how, python, program) == ("CMD", "python", "manage.py")
    load_command_class("derive", name).create_parser(program, name).parse_args(options)
    assert seconds(health["interval"]) > HEARTBEAT_SECONDS
    assert seconds(health["start_period"]) > HEARTBEAT_SECONDS


@pytest.mark.parametrize("service", sorted(set(OURS) - {"migrate"}))
def test_every_long_running_service_has_a_health_check(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"


def test_the_workers_health_is_where_it_serves_its_numbers() -> None:
    address = health_address("llm-worker")
    _python, program, name, *options = SERVICES["llm-worker"]["command"]
    parser = load_command_class("derive", name).create_parser(program, name)
    given = parser.parse_args(options)
    assert (address.hostname, address.port, address.path) == (given.metrics_host, given.metrics_port, "/metrics")


def health_address(service: str) -> Any:
    start, program, flag, code = SERVICES[service]["healthcheck"]["test"]
    assert (start, program, flag) == ("CMD", "python", "-c")
    called = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    return urlsplit(next(str(value) for value in called if str(value).startswith("http")))


def test_sql_servers_health_is_a_query_answered_to_its_administrator() -> None:
    test = SERVICES["sqlserver"]["healthcheck"]["test"]
    assert test[0] == "CMD"
    assert "SELECT 1" in test
    assert "-P" not in test
    assert environment_of("sqlserver")["SQLCMDPASSWORD"] == environment_of("sqlserver")["MSSQL_SA_PASSWORD"]


@pytest.mark.parametrize(("profiles", "host"), [("", "ollama"), ("gpu", "ollama-gpu")])
def test_the_workers_ask_the_ollama_that_the_profile_starts(profiles: str, host: str) -> None:
    services = read_compose_file(FILLED | {"COMPOSE_PROFILES": profiles})["services"]
    assert services["llm-worker"]["environment"]["OLLAMA_BASE_URL"] == f"http://{host}:11434"
    assert host in services
    assert services["ollama-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


MOUNTED_FILES = {
    "HOLOCRON_ENDPOINTS": {"web", "llm-worker", "qcluster"},
    "HOLOCRON_SOURCES": {"web", "qcluster"},
}
"""Which services are given the file that a setting names: of sources, those that preview them or derive from them."""
FILES_OF_SERVICES = [(name, service) for name, services in MOUNTED_FILES.items() for service in sorted(services)]


@pytest.mark.parametrize(("name", "service"), FILES_OF_SERVICES)
def test_a_file_that_a_setting_names_is_mounted_read_only(name: str, service: str) -> None:
    services = read_compose_file(FILLED | {name: "own/file.toml"})["services"]
    (mount,) = [mount for mount in bound(service, services) if mount["source"] != "/dev/null"]
    assert (mount["type"], mount["source"], mount["read_only"]) == ("bind", "own/file.toml", True)
    assert mount["bind"] == {"create_host_path": False}
    assert services[service]["environment"][name] == mount["target"]


@pytest.mark.parametrize(("name", "service"), FILES_OF_SERVICES)
def test_without_such_a_file_an_empty_one_is_mounted_and_not_read(name: str, service: str) -> None:
    assert {mount["source"] for mount in bound(service)} == {"/dev/null"}
    assert environment_of(service)[name] == ""


@pytest.mark.parametrize("service", OURS)
def test_no_other_service_is_given_such_a_file(service: str) -> None:
    wanted = {name for name, services in MOUNTED_FILES.items() if service in services}
    assert MOUNTED_FILES.keys() & environment_of(service).keys() == wanted
    assert len(bound(service)) == len(wanted)


@pytest.mark.parametrize("service", ["sqlserver", "ollama", "ollama-gpu", "ollama-pull"])
def test_every_image_of_others_is_of_a_named_version(service: str) -> None:
    assert re.fullmatch(r"[a-z./]+:\d[\w.-]*", SERVICES[service]["image"])
