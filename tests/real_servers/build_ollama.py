"""Builds a pinned Ollama from its Go module, for the processor alone: ``python -m tests.real_servers.build_ollama``.

Goes into ``var/ollama/bin``; Go's own caches keep what is compiled, so that the second time takes seconds. The module
lacks its folders called ``vendor``, which Go leaves out of every module: nlohmann's JSON has to be in the system, and
two libraries for images and sounds, which no test needs, have stand-ins in ``ollama_headers``.
"""

import os
import shutil
import subprocess
import sys

from tests.real_servers.servers import ROOT

VERSION = "v0.17.4"
FOLDER = ROOT / "var" / "ollama" / "bin"
PROGRAM = FOLDER / "ollama"
HEADERS = ROOT / "tests" / "real_servers" / "ollama_headers"
_SAYS_VERSION = FOLDER / "version"


def main() -> int:
    if PROGRAM.exists() and _SAYS_VERSION.exists() and _SAYS_VERSION.read_text() == VERSION:
        return 0
    missing = _what_is_missing()
    if missing:
        print(  # noqa: T201 (to a terminal)
            f"holocron: Ollama cannot be built: {missing}; or name a program: make test-ollama OLLAMA=…",
            file=sys.stderr,
        )
        return 2
    print(f"holocron: building Ollama {VERSION}, some minutes the first time", file=sys.stderr)  # noqa: T201 (to a terminal)
    FOLDER.mkdir(parents=True, exist_ok=True)
    # For this processor: without its wider instructions a prompt takes ten times as long. The folder may hold a blank.
    compiled = "-O3 -w -march=native"
    flags = {"CGO_CFLAGS": compiled, "CGO_CXXFLAGS": f"{compiled} '-I{HEADERS}'"}
    built = subprocess.run(
        ["go", "install", f"github.com/ollama/ollama@{VERSION}"],  # noqa: S607 (whichever Go is first on the path)
        cwd=FOLDER,
        env=os.environ | {"GOBIN": str(FOLDER)} | flags,
        check=False,
    )
    if built.returncode == 0:
        _SAYS_VERSION.write_text(VERSION)
    return built.returncode


def _what_is_missing() -> str | None:
    """Say what to install; None when all is there."""
    if shutil.which("go") is None:
        return "install Go (1.24 or later)"
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        return "install a C++ compiler"
    includes = subprocess.run(
        [compiler, "-E", "-xc++", "-"],
        input="#include <nlohmann/json.hpp>",
        capture_output=True,
        text=True,
        check=False,
    )
    if includes.returncode != 0:
        return "install nlohmann's JSON for C++ (Debian: nlohmann-json3-dev, Homebrew: nlohmann-json)"
    return None


if __name__ == "__main__":
    sys.exit(main())
