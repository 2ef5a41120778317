"""WhiteNoise without its warning for a tree whose static files were never collected."""

from pathlib import Path

from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # it carries no types
    """Serves the collected static files if there are any, else those of the apps."""

    def add_files(self, root: str | Path, prefix: str | None = None) -> None:
        """Add a folder's files, if it exists."""
        if Path(root).is_dir():
            super().add_files(root, prefix)
