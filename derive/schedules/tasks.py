"""The functions that django-q2 calls by dotted path, one per system task."""

from derive.schedules.system_tasks import SYSTEM_TASKS


def reap() -> str:
    """End the runs whose lease expired."""
    return SYSTEM_TASKS["reap"].run()


def promote() -> str:
    """Make due jobs ready."""
    return SYSTEM_TASKS["promote"].run()


def retry_policies() -> str:
    """Run the retry policies that are due."""
    return SYSTEM_TASKS["retry_policies"].run()


def escalation_policies() -> str:
    """Run the escalation policies that are due."""
    return SYSTEM_TASKS["escalation_policies"].run()


def recurring_interrogations() -> str:
    """Run the recurring interrogations that are due."""
    return SYSTEM_TASKS["recurring_interrogations"].run()


def derivations() -> str:
    """Apply the derivations that are due."""
    return SYSTEM_TASKS["derivations"].run()


def deliveries() -> str:
    """Deliver what waits of derivations with a target."""
    return SYSTEM_TASKS["deliveries"].run()


def experiments() -> str:
    """Score the experiments that have ended."""
    return SYSTEM_TASKS["experiments"].run()


def retention_policies() -> str:
    """Run the retention policies that are due."""
    return SYSTEM_TASKS["retention_policies"].run()


def alerts() -> str:
    """Check the alert rules and send messages."""
    return SYSTEM_TASKS["alerts"].run()


def delete_purged_files() -> str:
    """Delete files that purges left in the lake."""
    return SYSTEM_TASKS["delete_purged_files"].run()


def seal() -> str:
    """Seal the history."""
    return SYSTEM_TASKS["seal"].run()


def roll_up() -> str:
    """Roll events up into hours."""
    return SYSTEM_TASKS["roll_up"].run()


def measure_loads() -> str:
    """Measure how long models take to load."""
    return SYSTEM_TASKS["measure_loads"].run()


def verify_sample() -> str:
    """Verify a sample of recent runs."""
    return SYSTEM_TASKS["verify_sample"].run()


def tidy() -> str:
    """Delete outdated rows and files."""
    return SYSTEM_TASKS["tidy"].run()
