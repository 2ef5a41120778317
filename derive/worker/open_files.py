"""How many files and connections this process may still open: with too few, every run would be released."""

from pathlib import Path

from derive.errors import OUT_OF_FILES, LakeUnavailable

FILES_PER_RUN = 4
"""Per run: the connection to the model, its stream, its folder and one to spare."""
OTHER_FILES = 16
"""Connections to the database and of probes, and what system libraries open briefly."""
_OPEN = (Path("/proc/self/fd"), Path("/dev/fd"))


def check_open_files(concurrency: int) -> None:
    """Check that this many concurrent runs can open what they need; raise LakeUnavailable with the limit to raise."""
    spare = _spare_files()
    wanted = FILES_PER_RUN * concurrency + OTHER_FILES
    if spare is not None and spare < wanted:
        raise LakeUnavailable(f"{OUT_OF_FILES}: {max(spare, 0)} more can be opened, {wanted} are needed")


def _spare_files() -> int | None:
    """Return how many more files can be opened; None if the system does not report it."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    for folder in _OPEN:
        try:
            return int(limit) - sum(1 for _ in folder.iterdir())
        except FileNotFoundError:
            continue
        except OSError:
            # Not even this folder can be opened.
            return 0
    return None
