"""What django-q2 calls, by dotted path: a function a task of the house."""

from derive.schedules.house import HOUSE


def reap() -> str:
    """End the runs whose lease expired."""
    return HOUSE["reap"].run()


def promote() -> str:
    """Make the jobs ready whose time has come."""
    return HOUSE["promote"].run()


def retry_policies() -> str:
    """Run the retry policies that are due."""
    return HOUSE["retry_policies"].run()


def recurring_interrogations() -> str:
    """Run the recurring interrogations that are due."""
    return HOUSE["recurring_interrogations"].run()


def retention_policies() -> str:
    """Run the retention policies that are due."""
    return HOUSE["retention_policies"].run()


def delete_purged_files() -> str:
    """Delete from the lake what purges left there."""
    return HOUSE["delete_purged_files"].run()


def seal() -> str:
    """Seal the history."""
    return HOUSE["seal"].run()


def roll_up() -> str:
    """Count what happened by the hour."""
    return HOUSE["roll_up"].run()


def verify_sample() -> str:
    """Verify some of the newest runs."""
    return HOUSE["verify_sample"].run()


def tidy() -> str:
    """Remove what nobody looks at any more."""
    return HOUSE["tidy"].run()
