"""/metrics of a process that answers nothing else: a worker."""

from __future__ import annotations

from prometheus_client import start_http_server

from backend.metrics import Metrics


class CannotListen(Exception):
    """Its text names the settings, the address and the reason."""


class MetricsServer:
    """Serves `metrics` at http://`host`:`port`/metrics until closed; `port` 0: nowhere.

    Raises CannotListen when the address is taken, or none of this machine.
    """

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        self._serving = None
        if not port:
            return
        try:
            self._serving = start_http_server(port, host, metrics.registry)
        except OSError as error:
            raise CannotListen(
                f"METRICS_HOST and METRICS_PORT: cannot listen on {host}:{port} "
                f"({error.strerror}); each worker of a machine needs a port of its own, "
                "0 for no metrics"
            ) from error

    def close(self) -> None:
        if self._serving is None:
            return
        server, thread = self._serving
        server.shutdown()
        server.server_close()
        thread.join()
