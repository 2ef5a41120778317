"""A folder of texts that is kept current, for the tests of derivations."""

from pathlib import Path
from typing import Any

from derive.contracts import RunFacts
from derive.derivations.applying import Applied, apply_derivation
from derive.derivations.declarations import find_declared
from derive.derivations.planning import Plan, make_plan
from derive.models import Derivation, Subject
from derive.queue import JobQueue
from derive.states import JobStatus, SubjectState
from tests.contract.scenes import ACTOR, KEY, WORKER, failure, success

NAME = "planets"
MODEL = "llama3.2"


class World:
    """The folder and the file that declares it, in ``root``."""

    def __init__(self, root: Path, settings: Any) -> None:
        self.folder = root / "texts"
        self.file = root / "sources.toml"
        self.folder.mkdir()
        settings.SOURCES_FILE = self.file
        settings.LAKE_URL = f"{root}/lake"
        self.settings = settings
        self.declare()

    def declare(self, **members: Any) -> None:
        """Write the file: one source, and one derivation with these members."""
        own = {"key": NAME, "source": "texts", "interrogation": KEY, **members}
        lines = [f"{name} = {value!r}" for name, value in own.items() if value is not None]
        source = '[[source]]\nname = "texts"\nkind = "files"\nentity_type = "planet"\nfolder = "texts"\n'
        self.file.write_text("\n".join([source, "[[derivation]]", *lines, ""]), "utf-8")

    def write(self, *names: str, text: str = "It is cold on {name}.") -> None:
        """Write texts, each of its own."""
        for name in names:
            (self.folder / f"{name}.txt").write_text(text.format(name=name), "utf-8")

    def plan(self) -> Plan:
        """Plan the derivation."""
        return make_plan(find_declared(NAME))

    def apply(self, **options: Any) -> Applied:
        """Apply the derivation."""
        return apply_derivation(find_declared(NAME), JobQueue(), actor=ACTOR, **options)

    def work(self, *, succeeds: bool = True) -> int:
        """Let every ready job succeed, or fail; then settle the subjects."""
        queue = JobQueue()
        claims = queue.claim(WORKER, max_jobs=1000)
        for claim in claims:
            run = RunFacts(model_name=MODEL, prompt_tokens=100, output_tokens=20)
            queue.complete(success(claim, run=run) if succeeds else failure(claim))
        self.settle()
        return len(claims)

    def settle(self) -> None:
        """Count all events, and settle the subjects."""
        queue = JobQueue()
        queue.roll_up_hours()
        queue.settle_subjects()


def states() -> dict[str, str]:
    """The state of each subject, by the name of its text."""
    return {row.entity_id.removesuffix(".txt"): str(row.state) for row in Subject.objects.order_by("subject_seq")}


def subject(name: str) -> Any:
    return Subject.objects.get(entity_id=f"{name}.txt")


def row() -> Any:
    return Derivation.objects.get()


__all__ = ["ACTOR", "MODEL", "NAME", "JobStatus", "SubjectState", "World", "row", "states", "subject"]
