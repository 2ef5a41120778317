"""Claims as a worker makes them for its model server."""

from collections.abc import Sequence

from derive.contracts import ANY_MODEL, Claim, ModelServer, ServedModel
from derive.queue import JobQueue
from tests.contract.scenes import WORKER


def server(
    *models: str | ServedModel, serving: str | None = None, default: str = "a", stay: bool | None = True
) -> ModelServer:
    """Return a server of these models; of any, where none is named."""
    served = tuple(one if isinstance(one, ServedModel) else ServedModel(model=one) for one in models)
    return ModelServer(serving=serving, default=default, models=served or (ServedModel(model=ANY_MODEL),), stay=stay)


def taken(queue: JobQueue, for_server: ModelServer | None, *, max_jobs: int = 10, worker: str = WORKER) -> list[Claim]:
    """Claim up to so many jobs for a server."""
    return queue.claim(worker, max_jobs=max_jobs, server=for_server)


def hints(claims: Sequence[Claim]) -> list[str | None]:
    """Return the models that the claimed jobs ask for."""
    return [claim.model_hint for claim in claims]
