"""What goes into a target's columns: admitted facts and members of answers, as text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connections

from derive.deliveries.statements import Value
from derive.models import Run
from derive.sql.calls import as_guid
from derive.sql.tables import engine_of, quoted_table
from derive.strict_types import parse_json
from derive.target_contracts import Target

_FACTS = """
    SELECT v.run_id, v.fact_key, v.value
    FROM {view} AS v
    WHERE v.run_id IN ({marks}) AND v.fact_key IS NOT NULL AND v.value IS NOT NULL
    ORDER BY
        v.run_id, CASE WHEN v.review_status IN ('ACCEPTED', 'CORRECTED') THEN 0 ELSE 1 END,
        CASE WHEN v.confidence IS NULL THEN 1 ELSE 0 END, v.confidence DESC, v.fact_index
"""
_Facts = Mapping[str, Sequence[str]]


def read_values(target: Target, run_ids: Iterable[UUID], using: str = "default") -> dict[UUID, list[Value]]:
    """Return the values of the target's columns for each run, in the order of ``target.columns``.

    A run that is no longer stored is left out. Several admitted facts of one key: those that a person accepted or
    corrected come first, then the most confident, then the first of the answer. Raises Django's database errors.
    """
    wanted = list(dict.fromkeys(run_ids))
    kinds = {value.partition(":")[0] for value in target.columns.values()}
    facts = _facts_of(wanted, using) if kinds & {"fact", "facts"} else {}
    names = ("run_id", "output_json") if "answer" in kinds else ("run_id",)
    rows: list[tuple[Any, ...]] = list(Run.objects.using(using).filter(run_id__in=wanted).values_list(*names))
    made = {}
    for run_id, *output in rows:
        answer = _parsed(output[0]) if output else None
        read = partial(_value, facts.get(run_id, {}), answer)
        made[run_id] = [read(value) for value in target.columns.values()]
    return made


def _facts_of(run_ids: Sequence[UUID], using: str) -> dict[UUID, dict[str, list[str]]]:
    found: dict[UUID, dict[str, list[str]]] = {}
    if not run_ids:
        return found
    connection = connections[using]
    sql = _FACTS.format(
        view=quoted_table(engine_of(connection), "v_admitted_fact"), marks=", ".join(["%s"] * len(run_ids))
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [str(one) for one in run_ids])
        for run_id, key, value in cursor.fetchall():
            values = found.setdefault(as_guid(run_id), {}).setdefault(key, [])
            if value not in values:
                values.append(value)
    return found


def _value(facts: _Facts, answer: Any, declared: str) -> Value:
    kind, _, name = declared.partition(":")
    if kind == "answer":
        return _as_text(_member(answer, name))
    values = facts.get(name, ())
    if kind == "facts":
        return json.dumps(list(values), ensure_ascii=False)
    return values[0] if values else None


def _member(answer: Any, path: str) -> Any:
    found = answer
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isascii() and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _as_text(value: Any) -> Value:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parsed(output_json: str | None) -> Any:
    try:
        return None if output_json is None else parse_json(output_json)
    except ValueError:
        return None
