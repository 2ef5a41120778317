"""``manage.py enqueue_jobs``: queues one job from its options, or many from a file."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any
from uuid import UUID

from derive.intake.line_format import LineFormat
from derive.management.quick_command import QuickCommand

EXAMPLES = """
examples:
  manage.py enqueue_jobs --entity-type character --entity-id luke --evidence "Luke grew up on Tatooine."
  manage.py enqueue_jobs --entity-type planet --entity-id hoth --evidence-file hoth.txt --priority 200
  manage.py enqueue_jobs jobs.jsonl --dry-run
  zcat jobs.jsonl.gz | manage.py enqueue_jobs - --skip-invalid
  manage.py enqueue_jobs jobs.jsonl --batch letters --budget-tokens 2000000 --on-finish next.json

Each line of JSONL is an object with the parameters of llm.usp_enqueue_job. Instead of input_json and evidence_ref_json
it may give objects as input and evidence_ref:
  {"interrogation_key": "sw_entity_facts_v1", "dedupe_key": "luke-1", "input": {"entity_type": "character",
   "entity_id": "luke", "extra_params": {"evidence": [{"evidence_id": "a", "text": "Luke grew up on Tatooine."}]}}}
The first line of a CSV file names the same parameters; an empty cell means not given.

A batch has a counted end (see manage.py batches). --batch adds to the batch of that name that has not ended, or makes
it. The file for --on-finish is an object {"jobs": [objects as in a line of JSONL], "name"?, "on_finish"?}; its jobs are
queued once, when the batch has ended, and with a name as a batch of that name.

exit codes: 0 queued (or, with --dry-run, every line is valid), 1 some lines were invalid (nothing was queued unless
--skip-invalid), 2 error, 130 stopped by Ctrl-C
"""


class Command(QuickCommand):
    """Check jobs against the registry and their input contracts, then queue them."""

    help = "Queues one job from options, or many from a JSONL or CSV file. Checks every line before queueing any."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        many = parser.add_argument_group("many jobs")
        many.add_argument("file", nargs="?", metavar="FILE", help="the file, or - for standard input")
        many.add_argument(
            "--format",
            choices=[form.value for form in LineFormat],
            help="default: csv for *.csv files, otherwise jsonl",
        )
        many.add_argument("--dry-run", action="store_true", help="check only, queue nothing")
        many.add_argument(
            "--skip-invalid", action="store_true", help="queue the valid lines even if others are invalid"
        )
        many.add_argument("--from-line", type=int, default=1, metavar="N", help="start at line N of the file")
        many.add_argument(
            "--import-id",
            type=UUID,
            metavar="ID",
            help="resume an interrupted import by the id it printed; lines it already stored are skipped",
        )
        one = parser.add_argument_group("one job")
        one.add_argument("--interrogation", metavar="KEY", help="default: sw_entity_facts_v1")
        one.add_argument("--entity-type", metavar="TYPE", help="character, planet, starship, …")
        one.add_argument("--entity-id", metavar="ID", help="the entity's id")
        one.add_argument("--evidence", action="append", default=[], metavar="TEXT", help="may be repeated")
        one.add_argument("--evidence-file", action="append", default=[], type=Path, metavar="PATH", help="UTF-8 text")
        one.add_argument("--priority", type=int, metavar="N", help="0 or more, higher runs first (default: 100)")
        one.add_argument("--model", metavar="M", help="ask this model (default: the worker's own)")
        one.add_argument("--max-attempts", type=int, metavar="N", help="default: 3")
        one.add_argument(
            "--available", metavar="TIME", help="run not before this time, such as 2030-01-31T12:00:00Z (default: now)"
        )
        one.add_argument("--dedupe-key", metavar="KEY", help="queue nothing if a live or succeeded job has this key")
        one.add_argument("--input-json", metavar="JSON", help="the complete input, for your own interrogation")
        batch = parser.add_argument_group("batch")
        batch.add_argument("--batch", metavar="NAME", help="queue as this batch")
        batch.add_argument("--budget-tokens", type=int, metavar="N", help="a new batch pauses itself after N tokens")
        batch.add_argument(
            "--budget-model-seconds", type=int, metavar="N", help="a new batch pauses itself after N s of model time"
        )
        batch.add_argument("--on-finish", type=Path, metavar="FILE", help="JSON: what to queue when a new batch ends")
        batch.add_argument("--keep-open", action="store_true", help="more will come: the batch does not end yet")
        parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Queue and exit with the code."""
        from derive.management.enqueueing import Enqueueing

        sys.exit(Enqueueing(stdout=self.stdout, stderr=self.stderr).run(given))
