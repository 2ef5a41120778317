"""The error of what cannot be tried."""

from derive.errors import HolocronError


class ExperimentRefused(HolocronError):
    """What was asked for makes no experiment, or there is none; the message says why."""
