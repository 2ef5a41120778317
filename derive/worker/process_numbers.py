"""The numbers of all children on the parent's port, each with the number of its process as the label ``process``."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from derive.worker.metrics import served
from derive.worker.processes import WorkerProcesses


class ProcessNumbers(Collector):
    """Asks the children whenever the numbers are asked for; a child that does not answer is left out."""

    def __init__(self, processes: WorkerProcesses) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        """Yield each family once, with the samples of all children."""
        families: dict[str, Metric] = {}
        for number, text in self._processes.numbers():
            for family in text_string_to_metric_families(text.decode()):
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    labels = {**sample.labels, "process": str(number)}
                    merged.samples.append(sample._replace(labels=labels))
        yield from families.values()


@contextmanager
def numbers_served(processes: WorkerProcesses, port: int | None, *, host: str) -> Iterator[None]:
    """Serve them while the block runs; no port: serve nothing. Raises ConfigurationError as a worker alone does."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ProcessNumbers(processes))
    with served(registry, port, host=host):
        yield
