"""Records what verifications found, for the rules that watch it."""

import logging

from django.db import Error as DjangoDatabaseError

from derive.errors import HolocronError
from derive.models.alerts import VerificationResult
from derive.sql.clock import database_now

log = logging.getLogger(__name__)

RUNS = "runs"
HISTORY = "history"


def record_verification(of: str, *, findings: int, is_whole: bool) -> None:
    """Record a result; a login that may not write it leaves a line in the log, and the verification still counts."""
    try:
        VerificationResult.objects.create(of=of, findings=findings, is_whole=is_whole, at_utc=database_now())
    except (DjangoDatabaseError, HolocronError) as error:
        log.warning("verification.not_recorded", extra={"of": of, "error": type(error).__name__})
