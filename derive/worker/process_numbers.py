"""Metrics of all children on the parent's port, labelled with ``process``, the child's number."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from derive.worker.metrics import served
from derive.worker.processes import WorkerProcesses


class ProcessNumbers(Collector):
    """Collects the children's metrics at each scrape; a child that does not answer is left out."""

    def __init__(self, processes: WorkerProcesses) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        """Yield each metric family once, with the samples of all children."""
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
    """Serve the metrics during the block, if there is a port. Raises ConfigurationError as a worker does."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ProcessNumbers(processes))
    with served(registry, port, host=host):
        yield
