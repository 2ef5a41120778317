"""WhiteNoise, without its warning on a tree whose static files were never collected."""

from pathlib import Path

from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # it carries no types
    """Serves static files: those collected where there are any, else those of the apps."""

    def add_files(self, root: str | Path, prefix: str | None = None) -> None:
        """Add a folder's files; one that does not exist has none."""
        if Path(root).is_dir():
            super().add_files(root, prefix)
