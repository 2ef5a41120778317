"""JobQueue: the only Python interface to the stored procedures.

Each call is one short transaction on the server's clock and is durable: it refuses to be part of a longer one
(``enqueue_whole`` stages by several, then queues all by one).
Repeatable calls are retried after a lost connection; a claim is not, its jobs come back as ``stray`` runs of the
next heartbeat.
"""

from derive.queue.history import HistoryQueue
from derive.queue.operator import CHANGE_BATCH, OperatorQueue
from derive.queue.worker import WorkerQueue

__all__ = ["CHANGE_BATCH", "JobQueue"]


class JobQueue(WorkerQueue, OperatorQueue, HistoryQueue):
    """All procedures, for code that acts in several roles; a worker holds a ``WorkerQueue``."""
