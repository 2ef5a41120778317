"""``seal_audit``, ``verify_audit`` and ``purge`` as real processes, over a run that a real worker made."""

import json
from pathlib import Path

from tests.acceptance.command_world import migrated
from tests.fake_ollama import FakeOllama, behaviours


def test_what_is_sealed_verifies_is_missed_when_changed_and_may_be_purged(
    tmp_path: Path, migrated_cluster: Path
) -> None:
    with migrated(tmp_path, migrated_cluster) as world, FakeOllama() as fake:
        world.environment |= {"OLLAMA_BASE_URL": fake.url, "LAKE_URL": str(world.folder / "lake")}
        ask = ("--interrogation", "sw_entity_facts_v1", "--entity-type", "character", "--entity-id", "tala")
        assert world.run("enqueue_jobs", *ask, "--evidence", "Tala Venn was born on Corvessa.")[0] == 0
        fake.next(behaviours.answer())
        assert world.run("run_llm_worker", "--max-jobs", "1")[0] == 0

        code, printed, complained = world.run("seal_audit")
        assert (code, complained) == (0, "")
        head = printed.split()[-1]
        assert head.startswith("1:")
        code, printed, _ = world.run("verify_audit", "--head", head)
        assert (code, printed.splitlines()[-1].split()[-1]) == (0, head)

        (prompt,) = (world.folder / "lake").rglob("prompt.txt")
        before = prompt.read_bytes()
        prompt.write_bytes(before.replace(b"a", b"b", 1))
        code, printed, _ = world.run("verify_audit")
        assert code == 1
        assert printed.splitlines()[0].startswith(f"file {prompt.relative_to(world.folder / 'lake')} changed: ")
        prompt.write_bytes(before)

        code, printed, _ = world.run("purge", "--succeeded", "0s", "--dry-run", "--json")
        assert (code, json.loads(printed)["jobs"]) == (0, {"SUCCEEDED": 1})
        assert prompt.exists()
        code, printed, _ = world.run("purge", "--succeeded", "0s", "--reason", "test")
        assert (code, printed.split(";")[0]) == (0, "purged 1 job (1 SUCCEEDED) with 9 files")
        assert not prompt.parent.exists()
        assert world.run("verify_audit", "--head", head)[0] == 0
