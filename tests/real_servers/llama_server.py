"""llama.cpp's own HTTP server, out of the package xllamacpp: ``python -m tests.real_servers.llama_server MODEL …``.

Prints its address and serves until its standard input ends, and so no longer than whoever started it.
"""

import argparse
import sys


def main() -> int:
    import xllamacpp

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the file of the model, GGUF")
    parser.add_argument("--name", required=True, help="what the model is called in requests")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--window", type=int, required=True, help="tokens of each slot")
    parser.add_argument("--api-key")
    options = parser.parse_args()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.model_alias = [options.name]
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_parallel, parameters.n_ctx = options.slots, options.slots * options.window
    parameters.api_keys = [options.api_key] if options.api_key else []
    parameters.endpoint_slots = parameters.endpoint_metrics = True
    # A tiny model is no faster on more, and the tests beside it have the other processors.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)  # noqa: T201 (for whoever started it)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
