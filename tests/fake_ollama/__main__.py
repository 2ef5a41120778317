"""The fake as a process of its own: prints its port, serves until it is stopped."""

import argparse
import asyncio
import contextlib
import hashlib
import signal

from tests.fake_ollama.answers import MODEL
from tests.fake_ollama.server import FakeOllama


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_ollama", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency-ms", type=float, default=None, help="answer this much later, from prepared bytes")
    parser.add_argument("--load-ms", type=float, default=0, help="load a model for so long, one at a time")
    parser.add_argument("--slots", type=int, default=16, help="answers at a time; others wait")
    parser.add_argument("--model", action="append", help="one that it has; may be repeated")
    parser.add_argument("--content", default='{"facts": []}', help="what every answer says, with --latency-ms")
    parser.add_argument("--pieces", type=int, default=4, help="lines an answer comes in, with --latency-ms")
    given = parser.parse_args()
    fake = FakeOllama(
        port=given.port,
        models={
            name if ":" in name else f"{name}:latest": hashlib.sha256(name.encode()).hexdigest()
            for name in given.model or [MODEL]
        },
        latency_ms=given.latency_ms,
        load_ms=given.load_ms,
        slots=given.slots,
        content=given.content,
        pieces=given.pieces,
        records=False,
    )
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_serve(fake))


async def _serve(fake: FakeOllama) -> None:
    await fake.listen()
    print(fake.port, flush=True)  # noqa: T201 - who started the process reads it
    task = asyncio.ensure_future(fake.serve_forever())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task


if __name__ == "__main__":
    main()
