"""The HTTP endpoint of a process: /metrics for Prometheus, /healthz and /readyz for an orchestrator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from config.errors import ConfigurationError, Problem
from config.metrics import READY, Metrics


class Health:
    """Whether a process lives and whether it does its work.

    It is ready between `set_ready(True)` and `set_ready(False)`. It lives as long as `beat` was called within
    `stalled_after_s` seconds; a process that never beats (nothing of it can stall) lives.
    """

    def __init__(
        self, metrics: Metrics, *, stalled_after_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ready_gauge = metrics.gauge(READY)
        self._stalled_after_s = stalled_after_s
        self._clock = clock
        self._ready = False
        self._beat_at: float | None = None

    def set_ready(self, ready: bool) -> None:
        """Says that the process does its work from now on, or no longer."""
        self._ready = ready
        self._ready_gauge.set(int(ready))

    def beat(self) -> None:
        """Says that the main loop goes round."""
        self._beat_at = self._clock()

    def is_ready(self) -> bool:
        """True if the process does its work."""
        return self._ready and self.is_live()

    def is_live(self) -> bool:
        """False if the main loop has stalled: the process should be replaced."""
        return self._beat_at is None or self._clock() - self._beat_at < self._stalled_after_s


class Endpoint:
    """Serves metrics and health in a thread of its own until closed. Port 0 takes a free one.

    A port that is taken is a `ConfigurationError`.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(metrics, health))
        except OSError as error:
            message = f"metrics.port {port} on {host} cannot be listened on: {error.strerror}; choose another, or 0"
            raise ConfigurationError([Problem(message)]) from error
        self._server.daemon_threads = True
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{self.host}:{self.port}"

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _handler(metrics: Metrics, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif path == "/healthz":
                self._state(health.is_live(), "live", "stalled")
            elif path == "/readyz":
                self._state(health.is_ready(), "ready", "not ready")
            else:
                self._answer(404, b"/metrics, /healthz and /readyz are served here\n", "text/plain")

        def _state(self, good: bool, yes: str, no: str) -> None:
            self._answer(200 if good else 503, f"{yes if good else no}\n".encode(), "text/plain")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class names it so
            """A scrape every few seconds is no news."""

    return Handler
