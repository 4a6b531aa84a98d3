"""The counters of a pipeline for Prometheus; needs ``pip install 'headrace[prometheus]'``.

::

    from headrace.observe import prometheus

    with prometheus.serve(flow, port=9400):     # http://127.0.0.1:9400/metrics
        for batch in flow: ...

Nothing is counted twice: a scrape reads what the channels count anyway (see `headrace.Stats`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from .._checks import check_count
from ..flow import DataFlow
from .metrics import COUNTERS, GAUGES
from .observation import check_flow
from .stats import take

__all__ = ["Collector", "Server", "serve"]


class Collector:
    """A collector for a registry of ``prometheus_client``.

    Args:
        flow: the pipeline.

    Raises:
        TypeError: it is no flow.
        ImportError: ``prometheus_client`` is not installed; names the extra.
    """

    def __init__(self, flow: DataFlow):
        self._flow = check_flow(flow)
        _client()

    def collect(self) -> Iterator[Any]:
        """The metrics as they stand, labelled by the flow's class and its number in the pipeline."""
        core = _client().core
        pools = [((f.name, str(f.number)), f.pool) for f in take(self._flow).flows if f.pool is not None]
        for kinds, family in ((COUNTERS, core.CounterMetricFamily), (GAUGES, core.GaugeMetricFamily)):
            for name, (text, field) in kinds.items():
                metric = family(f"headrace_{name}", text, labels=["flow", "number"])
                for labels, pool in pools:
                    metric.add_metric(labels, getattr(pool, field))
                yield metric


class Server:
    """What `serve` gives: an HTTP server in a thread; ``close()`` it, or use it with ``with``.

    Attributes:
        port: where it listens.
    """

    def __init__(self, server: Any, thread: threading.Thread):
        self._server = server
        self._thread = thread
        self.port = int(server.server_port)

    def close(self) -> None:
        """Stop listening. Does nothing the second time."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def serve(flow: DataFlow, port: int = 9400, *, address: str = "127.0.0.1") -> Server:
    """Serve the counters of a pipeline on ``http://address:port/metrics``.

    Args:
        flow: the pipeline.
        port: where to listen; 0: any that is free, see `Server.port`.
        address: on which address; only this machine can ask by default. The page has no secrets beyond the names of
            classes, and no protection.

    Returns:
        A `Server`.

    Raises:
        TypeError, ValueError: bad arguments.
        OSError: the port is taken.
        ImportError: ``prometheus_client`` is not installed; names the extra.
    """
    client = _client()
    registry = client.CollectorRegistry()
    registry.register(Collector(flow))
    if check_count("port", port, least=0) > 65535:
        raise ValueError(f"port must be at most 65535, got {port}")
    server, thread = client.start_http_server(int(port), addr=address, registry=registry)
    return Server(server, thread)


def _client() -> Any:
    try:
        import prometheus_client
        import prometheus_client.core
    except ImportError as error:
        raise ImportError(
            "headrace.observe.prometheus needs prometheus_client: pip install 'headrace[prometheus]'"
        ) from error
    return prometheus_client
