"""Commands for people to copy into a shell on another machine."""

import shlex


def pull_command(model: str) -> str:
    """Return the command that gets a model onto an Ollama server; the model's name may come from anybody.

    Holocron does not pull models itself: that writes gigabytes to another machine's disk, takes long, and needs more
    rights there than asking does.
    """
    # A name that begins with a dash would be an option.
    return f"ollama pull {'-- ' if model.startswith('-') else ''}{shlex.quote(model)}"
