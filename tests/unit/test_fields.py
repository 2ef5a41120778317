"""Guids and moments as SQL Server's columns take them; compiled by its real backend, which needs no server for that."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F
from mssql.base import DatabaseWrapper

from derive.models import Artifact, Job, JobEvent, Run
from derive.sql.fields import GuidField, UtcField
from derive.sql.tables import Engine, quoted_table

GUID = UUID("0a0a0a0a-0b0b-0c0c-0d0d-0e0e0e0e0e0e")
NOON_IN_PARIS = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
TEN_UTC = datetime(2026, 7, 1, 10, 0, 0, 123456)  # noqa: DTZ001 (as datetime2 takes it)


@pytest.fixture
def sqlserver(monkeypatch: pytest.MonkeyPatch) -> DatabaseWrapper:
    """The backend of a SQL Server 2022 that nobody connects to."""
    settings: dict[str, Any] = {
        "ENGINE": "mssql",
        "NAME": "Holocron",
        "HOST": "nowhere",
        "PORT": "",
        "USER": "u",
        "PASSWORD": "p",
        "OPTIONS": {"python_driver": "mssql_python"},
        "TIME_ZONE": None,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "AUTOCOMMIT": True,
        "ATOMIC_REQUESTS": False,
        "TEST": {},
    }
    monkeypatch.setitem(DatabaseWrapper._known_versions, "unreachable", 2022)
    monkeypatch.setitem(DatabaseWrapper._known_azures, "unreachable", False)
    return DatabaseWrapper(settings, "unreachable")


def compiled(queryset: Any, connection: DatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
    sql, parameters = queryset.query.get_compiler(connection=connection).as_sql()
    return sql, tuple(parameters)


def test_the_columns_have_sql_servers_types(sqlserver: DatabaseWrapper) -> None:
    assert GuidField().db_type(sqlserver) == "uniqueidentifier"
    assert UtcField().db_type(sqlserver) == "datetime2(6)"
    assert Run._meta.get_field("job").db_type(sqlserver) == "uniqueidentifier"


def test_a_guid_is_bound_as_a_guid(sqlserver: DatabaseWrapper) -> None:
    for given in (GUID, str(GUID)):
        _, parameters = compiled(Job.objects.filter(job_id=given), sqlserver)
        assert parameters == (GUID,)
    _, parameters = compiled(Artifact.objects.filter(run__job_id__in=[GUID]), sqlserver)
    assert parameters == (GUID,)
    _, parameters = compiled(JobEvent.objects.filter(job=Job(job_id=GUID)), sqlserver)
    assert parameters == (GUID,)


def test_a_moment_is_bound_in_utc_without_a_zone_so_that_the_columns_index_serves(sqlserver: DatabaseWrapper) -> None:
    for lookup in ("available_utc__lt", "available_utc", "available_utc__gte"):
        _, parameters = compiled(Job.objects.filter(**{lookup: NOON_IN_PARIS}), sqlserver)
        assert parameters == (TEN_UTC,)
        assert parameters[0].tzinfo is None
    _, parameters = compiled(Job.objects.filter(available_utc__range=(NOON_IN_PARIS, NOON_IN_PARIS)), sqlserver)
    assert parameters == (TEN_UTC, TEN_UTC)


def test_columns_can_be_compared_with_each_other(sqlserver: DatabaseWrapper) -> None:
    sql, parameters = compiled(Job.objects.filter(finished_utc__gt=F("created_utc")), sqlserver)
    assert "[finished_utc] > " in sql
    assert parameters == ()


def test_what_comes_back_is_a_guid_and_an_aware_moment(sqlserver: DatabaseWrapper) -> None:
    def read(name: str, value: Any) -> Any:
        column = Job._meta.get_field(name).get_col("job")  # type: ignore[union-attr]
        compiler = Job.objects.all().query.get_compiler(connection=sqlserver)
        ((converters, expression),) = compiler.get_converters([column]).values()
        for convert in converters:
            value = convert(value, expression, sqlserver)
        return value

    assert read("job_id", str(GUID).upper()) == GUID
    assert read("available_utc", TEN_UTC) == NOON_IN_PARIS
    assert read("available_utc", TEN_UTC).utcoffset() == timedelta(0)
    assert read("finished_utc", None) is None


def test_tables_are_named_with_their_schema(sqlserver: DatabaseWrapper) -> None:
    assert sqlserver.ops.quote_name(quoted_table(Engine.SQLSERVER, "job")) == "[llm].[job]"
    assert quoted_table(Engine.POSTGRESQL, "job") == '"llm"."job"'


def test_a_moment_that_has_no_zone_is_refused_where_warnings_are_errors(sqlserver: DatabaseWrapper) -> None:
    naive = NOON_IN_PARIS.astimezone(UTC).replace(tzinfo=None)
    with pytest.raises(RuntimeWarning):
        compiled(Job.objects.filter(available_utc=naive), sqlserver)
