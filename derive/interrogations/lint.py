"""Lints schemas against what Ollama's grammar enforces, and prompts against what rendering fills in.

Measured on Ollama of 2026-08 with llama.cpp b10434: some of JSON Schema is enforced while the model writes, some is
silently ignored (validation finds it only afterwards, at the cost of an attempt), and some is rejected with a 400.
A schema that the server rejects, or whose answers cannot be stored, is an error; a keyword that is not enforced is a
warning. ``schema_rules`` has the table.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Literal

from derive.interrogations.rendering import RESERVED
from derive.interrogations.schema_rules import SUBSCHEMA_LISTS, SUBSCHEMA_MAPS, SUBSCHEMAS, Problem, problems_of

MAX_PROMPT_CHARACTERS = 50_000
LEAST_CONSTANT_SHARE = 0.5


@dataclass(frozen=True)
class LintFinding:
    """One finding: its place (a JSON pointer or ``prompt.md line N``), severity, description and suggested fix."""

    path: str
    level: Literal["error", "warning"]
    problem: str
    instead: str

    def __str__(self) -> str:
        return f"{self.level} at {self.path}: {self.problem}; {self.instead}"


def lint_schema(schema: Any) -> tuple[LintFinding, ...]:
    """Return the faults of an output schema, in the order of the schema."""
    if not isinstance(schema, Mapping) or not _is_object(schema, schema, frozenset()):
        return (
            LintFinding(
                path="#",
                level="error",
                problem="the answer is not an object, and only objects can be kept",
                instead='put it into a member: {"facts": […]}',
            ),
        )
    return tuple(
        LintFinding(path=path, level=problem.level, problem=problem.what, instead=problem.instead)
        for path, node in schema_nodes(schema, "#")
        for problem in (*problems_of(node), *_reference_problems(node, schema))
    )


def _is_object(node: Any, root: Mapping[str, Any], followed: frozenset[str]) -> bool:
    """Whether only objects match: by its type, its properties, its reference, or all of its alternatives."""
    if not isinstance(node, Mapping):
        return False
    reference = node.get("$ref")
    if isinstance(reference, str):
        return reference not in followed and _is_object(_resolve(reference, root), root, followed | {reference})
    forms = node.get("anyOf", node.get("oneOf"))
    if "type" not in node and isinstance(forms, list) and forms:
        return all(_is_object(form, root, followed) for form in forms)
    return bool(node.get("type", "object" if "properties" in node else None) == "object")


def lint_prompt(template: str, *, input_names: Iterable[str]) -> tuple[LintFinding, ...]:
    """Return the faults of a prompt template whose input has members with these names."""
    names = sorted(input_names)
    findings = [
        _prompt_error(1, f"the input's member {name!r} is called like a placeholder of every prompt", "rename it")
        for name in names
        if name in RESERVED
    ]
    allowed = (*RESERVED, *(name for name in names if name not in RESERVED))
    placed: list[str] = []
    for match in Template.pattern.finditer(template):
        line = template.count("\n", 0, match.start()) + 1
        name = match["named"] or match["braced"]
        if match["invalid"] is not None:
            findings.append(_prompt_error(line, "a $ that begins no placeholder", "write $$ for a dollar sign"))
        elif name is not None and name not in allowed:
            choice = ", ".join(f"${name}" for name in allowed)
            findings.append(_prompt_error(line, f"unknown placeholder ${name}", f"there are: {choice}"))
        elif name is not None:
            placed.append(name)
    if placed.count("evidence") != 1:
        problem = f"$evidence stands {placed.count('evidence')} times"
        findings.append(_prompt_error(1, problem, "place it exactly once: the model sees nothing else of the evidence"))
    if len(template) > MAX_PROMPT_CHARACTERS:
        findings.append(
            _prompt_error(1, f"over {MAX_PROMPT_CHARACTERS} characters", "shorten it: it goes with every job")
        )
    return tuple(findings)


def lint_order(constant_tokens: int, own_tokens: int) -> tuple[LintFinding, ...]:
    """Return a warning if less than half of a prompt's own text precedes the first part that differs between jobs."""
    if constant_tokens >= LEAST_CONSTANT_SHARE * own_tokens:
        return ()
    return (
        LintFinding(
            path="prompt.md",
            level="warning",
            problem=f"only about {constant_tokens} of its own {own_tokens} tokens come before what differs between "
            "jobs: the server reads the others again for each job",
            instead="put rules, $rubric and $schema first, then the entity, then $evidence",
        ),
    )


def _prompt_error(line: int, problem: str, instead: str) -> LintFinding:
    return LintFinding(path=f"prompt.md line {line}", level="error", problem=problem, instead=instead)


def schema_nodes(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the schema itself and then every schema inside it, each with its JSON pointer."""
    yield path, node
    if not isinstance(node, Mapping):
        return
    for keyword, value in node.items():
        here = f"{path}/{keyword}"
        if keyword in SUBSCHEMA_MAPS and isinstance(value, Mapping):
            for name, member in value.items():
                yield from schema_nodes(member, f"{here}/{str(name).replace('~', '~0').replace('/', '~1')}")
        elif keyword in SUBSCHEMA_LISTS and isinstance(value, list):
            for place, member in enumerate(value):
                yield from schema_nodes(member, f"{here}/{place}")
        elif keyword in SUBSCHEMAS and not (keyword == "additionalProperties" and isinstance(value, bool)):
            yield from schema_nodes(value, here)


def _reference_problems(node: Any, root: Mapping[str, Any]) -> Iterator[Problem]:
    reference = node.get("$ref") if isinstance(node, Mapping) else None
    if reference is None:
        return
    if not isinstance(reference, str) or not reference.startswith("#"):
        yield Problem(
            "error", "a reference that leaves the schema", "put the schema under $defs and refer to #/$defs/…"
        )
    elif reference == "#":
        yield Problem("error", "a reference to the whole schema is refused by the server", "put it under $defs")
    elif "~" in reference or "%" in reference:
        yield Problem("error", f"{reference}: an escaped name is refused by the server", "rename the definition")
    elif _resolve(reference, root) is None:
        yield Problem("error", f"{reference} does not exist; the server refuses the schema", "define it under $defs")
    elif _leads_to_itself(reference, root):
        yield Problem("error", f"{reference} only refers to itself, so it describes nothing", "define it under $defs")


def _leads_to_itself(reference: str, root: Mapping[str, Any]) -> bool:
    followed: set[str] = set()
    while reference not in followed:
        followed.add(reference)
        node = _resolve(reference, root)
        found = node.get("$ref") if isinstance(node, Mapping) else None
        if not isinstance(found, str):
            return False
        reference = found
    return True


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """Return the target of a local reference, or None if it does not exist."""
    if not reference.startswith("#/"):
        return root if reference == "#" else None
    node: Any = root
    for name in reference.removeprefix("#/").split("/"):
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return node
