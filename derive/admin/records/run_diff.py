"""Two runs side by side: facts, options, metrics, output by field, and a diff of their prompts; bounded."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from derive.admin.display.lake_files import raw_answer, read_shown
from derive.admin.display.units import duration
from derive.admin.display.untrusted_text import cell, visible
from derive.models import Artifact, Run

MAX_FIELDS = 400
MAX_LINES = 2_000
MAX_LINE_CHARACTERS = 1_000
CONTEXT_LINES = 3
MAX_NAME_CHARACTERS = 80
_MARK = re.compile(r"^\[\[([0-9a-f]{8,64})\]\] ", re.MULTILINE)
"""The delimiter of a prompt's evidence (``derive.interrogations.rendering``)."""
FACTS = (
    *("status", "error_kind", "model_name", "model_tag", "model_digest", "ollama_base_url", "worker_id"),
    *("interrogation_version", "definition_sha256", "evidence_sha256", "prompt_tokens", "output_tokens", "total_ms"),
)


@dataclass(frozen=True)
class Pair:
    """One field of both runs; empty where absent."""

    name: str
    left: str
    right: str

    @property
    def differs(self) -> bool:
        """Whether the two values differ."""
        return self.left != self.right


@dataclass(frozen=True)
class DiffLine:
    """One line of a diff: ``kind`` is ``same``, ``gone``, ``new`` or ``skip`` (lines left out)."""

    kind: str
    text: str


def facts_of(left: Run, right: Run) -> list[Pair]:
    """Return the columns that describe the runs' requests and outcomes."""
    return [Pair(name.replace("_", " "), _shown(getattr(left, name)), _shown(getattr(right, name))) for name in FACTS]


def fields_of(left: str | None, right: str | None) -> list[Pair]:
    """Return two JSON texts field by field, in document order."""
    both = _flat(left), _flat(right)
    names = list(dict.fromkeys([*both[0], *both[1]]))[:MAX_FIELDS]
    return [Pair(cell(name, 200), both[0].get(name, ""), both[1].get(name, "")) for name in names]


def metrics_of(left: str | None, right: str | None) -> list[Pair]:
    """Return the model server's metrics; its durations, which are nanoseconds, for people."""
    return [
        Pair(pair.name, _spoken(pair.left), _spoken(pair.right)) if pair.name.endswith("_duration") else pair
        for pair in fields_of(left, right)
    ]


def _spoken(nanoseconds: str) -> str:
    return duration(int(nanoseconds) / 1e9) if re.fullmatch("[0-9]{1,18}", nanoseconds) else nanoseconds


def answer_of(run: Run) -> str:
    """Return a run's answer: its output, or what the model wrote if the run failed."""
    return run.output_json or raw_answer(_file_of(run, "response_json"))


def prompt_of(run: Run) -> str:
    """Return a run's prompt, or why it cannot be shown.

    The marks around its evidence, which follow from the evidence, are replaced: they would differ on every line.
    """
    text = _file_of(run, "prompt_text")
    mark = _MARK.search(text)
    return text.replace(mark[1], "mark") if mark else text


def _file_of(run: Run, artifact_type: str) -> str:
    artifact = Artifact.objects.filter(run_id=run.run_id, artifact_type=artifact_type).first()
    if artifact is None:
        return ""
    found = read_shown(artifact)
    return found.text or found.fault


def difference(left: str, right: str) -> list[DiffLine]:
    """Return the differing lines with context; only the first lines of long texts are compared."""
    old, new = _lines(left), _lines(right)
    lines: list[DiffLine] = []
    # autojunk would ignore frequent lines; the bound above keeps the diff fast instead.
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT_LINES):
        if lines or group[0][1] > 0:
            lines.append(DiffLine("skip", "…"))
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                lines += [DiffLine("same", text) for text in old[i1:i2]]
                continue
            lines += [DiffLine("gone", text) for text in old[i1:i2]]
            lines += [DiffLine("new", text) for text in new[j1:j2]]
    return lines


def _lines(text: str) -> list[str]:
    found = text.split("\n", MAX_LINES)
    kept = [visible(line[:MAX_LINE_CHARACTERS]) for line in found[:MAX_LINES]]
    return [*kept, f"(only the first {MAX_LINES} lines are compared)"] if len(found) > MAX_LINES else kept


def _flat(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"(not JSON)": cell(text, 500)}
    found: dict[str, str] = {}
    for name, leaf in _leaves(value):
        if len(found) == MAX_FIELDS:
            break
        found[name] = leaf
    return found


def _leaves(value: Any) -> Iterator[tuple[str, str]]:
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        name, one = waiting.pop()
        if isinstance(one, dict) and one:
            waiting.extend((f"{name}.{key}".lstrip("."), member) for key, member in reversed(one.items()))
        elif isinstance(one, list) and one:
            waiting.extend((f"{name}[{which}]", member) for which, member in reversed(_named(one)))
        else:
            yield name or "(whole)", cell(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False), 500)


def _named(members: list[Any]) -> list[tuple[str, Any]]:
    """Name a list's members by place; facts by key and value, so that two answers' facts match whatever their order."""
    named: list[tuple[str, Any]] = []
    seen: Counter[str] = Counter()
    for place, member in enumerate(members):
        name = str(place)
        if isinstance(member, dict) and isinstance(member.get("fact_key"), str):
            value = member.get("value")
            name = cell(
                f"{member['fact_key']}: {value if isinstance(value, str) else json.dumps(value)}", MAX_NAME_CHARACTERS
            )
            seen[name] += 1
            name += f" ({seen[name]})" if seen[name] > 1 else ""
        named.append((name, member))
    return named


def _shown(value: Any) -> str:
    return "" if value is None else cell(str(value), 300)
