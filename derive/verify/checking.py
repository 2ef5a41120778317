"""Verifies one run: rows, then files, then their contents."""

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel

from derive.errors import LakeUnavailable, places_of
from derive.interrogations.definition import Definition
from derive.interrogations.registry import Registry
from derive.lake import Lake
from derive.lake_stores.folder import OpenFolder
from derive.lake_stores.paths import RUNS_FOLDER
from derive.verify.answer import check_judgement, check_response, entity_of_run
from derive.verify.contents import bounded, read_whole_files
from derive.verify.findings import Check, Findings, RunResult
from derive.verify.joined import check_joined
from derive.verify.question import check_definition, check_evidence, check_model, check_prompt, check_request
from derive.verify.rows import RunFolder, compare_rows, has_rows, open_run_folder
from derive.verify.stored import StoredRun


class RunChecker:
    """Checks runs against the lake; thread-safe. Does not query the database."""

    def __init__(self, lake: Lake, *, output_models: Mapping[str, type[BaseModel] | None], quick: bool) -> None:
        self._lake = lake
        self._output_models = output_models
        self._quick = quick
        self._definitions: dict[str, Definition] = {}

    @classmethod
    def of(cls, lake: Lake, registry: Registry, *, quick: bool) -> Self:
        """Return a checker that validates with the registry's output models, by definition hash."""
        models = {one.definition.definition_sha256: one.output_model for one in registry.all()}
        return cls(lake, output_models=models, quick=quick)

    def check_all(self, runs: Sequence[StoredRun], definitions: Mapping[str, Definition]) -> list[RunResult]:
        """Check several runs, in order; raise LakeUnavailable if the lake as a whole cannot be read."""
        kept = {sha256: self._kept(sha256, definition) for sha256, definition in definitions.items()}
        return [self.check(run, kept) for run in runs]

    def _kept(self, sha256: str, definition: Definition) -> Definition:
        """Return an equal definition seen before, whose schema is already compiled."""
        known = self._definitions.get(sha256)
        if known != definition:
            known = self._definitions[sha256] = definition
        return known

    def check(self, run: StoredRun, definitions: Mapping[str, Definition]) -> RunResult:
        """Check one run, whatever its files and rows contain; raise LakeUnavailable as ``check_all``."""
        findings = Findings(run.run_id)
        files = bytes_read = 0
        try:
            if has_rows(run, findings):
                with open_run_folder(run, self._lake) as opened:
                    files, bytes_read = self._check_folder(run, opened, definitions, findings)
        except LakeUnavailable as error:
            # Raises if the lake is unavailable, rather than a single file unreadable.
            self._lake.list_folder(RUNS_FOLDER)
            findings.add("", Check.UNREADABLE, str(error))
        except Exception as error:  # noqa: BLE001 - one hostile run must not end the verification of the others
            findings.add("", Check.UNREADABLE, f"could not be verified: {places_of(error)}")
        return RunResult(run.run_id, tuple(findings.found), files, bytes_read)

    def _check_folder(
        self, run: StoredRun, opened: OpenFolder, definitions: Mapping[str, Definition], findings: Findings
    ) -> tuple[int, int]:
        """Check a run's folder; return the number of files and bytes read."""
        folder = compare_rows(run, opened, findings)
        if folder is None:
            return 0, 0
        bytes_read = folder.manifest_bytes
        if not self._quick:
            bytes_read += self._look_into(run, folder, opened, definitions, findings)
        return len(folder.files) + 1, bytes_read

    def _look_into(
        self,
        run: StoredRun,
        folder: RunFolder,
        opened: OpenFolder,
        definitions: Mapping[str, Definition],
        findings: Findings,
    ) -> int:
        """Hash every file and rebuild everything possible; return the number of bytes read."""
        state = folder.state
        with bounded(folder):
            files, bytes_read = read_whole_files(folder, opened, findings)
            definition = check_definition(state, definitions, findings)
            bundle = check_evidence(state, files, findings)
            if run.has_joined:
                check_joined(
                    run,
                    state,
                    files,
                    findings,
                    definition=definition,
                    bundle=bundle,
                    entity=entity_of_run(run),
                    read_lake=self._lake.read,
                )
                return bytes_read
            prompts = check_prompt(
                run,
                files,
                findings,
                definition=definition,
                bundle=bundle,
                was_corrected="correction.json" in folder.recorded,
            )
            request = check_request(run, files, findings, definition=definition, prompts=prompts)
            check_model(run, files, findings, request=request)
            answer = check_response(run, state, files, findings)
            check_judgement(
                run,
                state,
                files,
                findings,
                definition=definition,
                bundle=bundle,
                answer=answer,
                output_model=self._output_models.get(state.definition_sha256 or ""),
            )
        return bytes_read
