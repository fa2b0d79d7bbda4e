"""``python -m ripple.inference.serve``: one model file behind llama.cpp's OpenAI-compatible server, on loopback.

One process per model, so a model that crashes the engine takes no other along. One thread each: a second one was
never faster on a shared machine, and threads that spin made it many times slower.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from ripple.inference.gguf import check_gguf
from ripple.model.errors import RippleError

THREADS = 1
PROMPT_CACHE_MIB = 64
HTTP_THREADS = 4
BATCH_TOKENS = 256
"""Tokens read at once; a question that nobody waits for any more is dropped between two batches."""
QUIET = 1


def main(words: list[str] | None = None) -> int:
    """Serve until told to stop; 1 with the reason on standard error when the file cannot be served."""
    asked = _parser().parse_args(words)
    # Read by the engine's OpenMP when it is loaded, so they stand before the import.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        check_gguf(asked.model)
        server = _start(asked)
    except (RippleError, RuntimeError) as error:
        print(f"cannot serve {asked.model}: {error}", file=sys.stderr)
        return 1
    print(f"serving {asked.alias} on {server.listening_address}", flush=True)
    stopped.wait()
    sys.stdout.flush()
    # The engine's own teardown waits for open connections; the supervisor would have to kill it.
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ripple.inference.serve")
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--port", type=int, required=True, help="the port on 127.0.0.1")
    parser.add_argument("--alias", required=True, help="the name the API calls the model by")
    parser.add_argument("--context", type=int, default=4096, help="tokens of prompt and answer together")
    return parser


def _start(asked: argparse.Namespace) -> Any:
    xllamacpp: Any = importlib.import_module("xllamacpp")

    settings = xllamacpp.CommonParams()
    settings.model.path = str(asked.model)
    settings.model_alias = {asked.alias}
    settings.hostnames, settings.port = ["127.0.0.1"], asked.port
    settings.n_ctx, settings.n_parallel, settings.n_threads_http = asked.context, 1, HTTP_THREADS
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = THREADS
    settings.n_batch = settings.n_ubatch = BATCH_TOKENS
    settings.cache_ram_mib = PROMPT_CACHE_MIB
    # Nothing but the API: no web page, no foreign origin, no view into other callers' prompts, no downloads.
    settings.ui, settings.endpoint_slots, settings.cors_origins, settings.offline = False, False, "", True
    settings.warmup, settings.fit_params, settings.verbosity = False, False, QUIET
    return xllamacpp.Server(settings)


if __name__ == "__main__":
    sys.exit(main())
