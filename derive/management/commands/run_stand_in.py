"""``manage.py run_stand_in``: the demo's model server on its own, to try an interrogation without a model."""

import signal
import sys
from argparse import ArgumentParser
from threading import Event
from typing import Any

from derive.management.quick_command import QuickCommand

COULD_NOT_START = 2


class Command(QuickCommand):
    """Serve the stand-in until a signal stops it."""

    help = (
        "Serves a stand-in for Ollama on 127.0.0.1. It answers by rules, quoting sentences of the evidence, and calls "
        "its model holocron-demo. It shows the workflow; its answers are meaningless. "
        "Exit codes: 0 after SIGTERM or Ctrl-C, 2 could not start."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--port",
            type=int,
            default=11500,
            metavar="P",
            help="port to listen on; 0: any free one (default: %(default)s)",
        )

    def handle(self, *_args: Any, **given: Any) -> None:
        """Serve, and exit with the code."""
        from derive.demo.stand_in import StandIn
        from derive.demo.stand_in_model import NAME

        stopped = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        stand_in = StandIn(port=given["port"])
        try:
            stand_in.start()
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            print(f"run_stand_in: port {given['port']} cannot be used ({why}): give another --port", file=sys.stderr)
            sys.exit(COULD_NOT_START)
        print(f"OLLAMA_BASE_URL={stand_in.base_url} OLLAMA_MODEL={NAME}", flush=True)
        stopped.wait()
        stand_in.stop()
