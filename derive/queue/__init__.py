"""JobQueue: the only Python interface to the stored procedures.

Each call is one short, durable transaction that uses the server's clock and refuses to be part of a longer one
(``enqueue_whole`` stages jobs in several calls, then queues all of them in one). Repeatable calls are retried after a
lost connection. A claim is not; its jobs are returned as ``stray`` runs by the next heartbeat.
"""

from derive.queue.batches import BatchQueue
from derive.queue.derivations import DerivationQueue
from derive.queue.golden import GoldenQueue
from derive.queue.history import HistoryQueue
from derive.queue.operator import CHANGE_BATCH, OperatorQueue
from derive.queue.promotion import PromotionQueue
from derive.queue.reviewing import ReviewQueue
from derive.queue.worker import WorkerQueue

__all__ = ["CHANGE_BATCH", "JobQueue"]


class JobQueue(
    WorkerQueue, OperatorQueue, BatchQueue, DerivationQueue, ReviewQueue, GoldenQueue, PromotionQueue, HistoryQueue
):
    """All procedures, for code that acts in several roles; a worker holds a ``WorkerQueue``."""
