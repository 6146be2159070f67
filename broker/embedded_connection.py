"""What every way of using the embedded log holds on to."""

from __future__ import annotations

from broker.embedded_environment import Environment
from broker.embedded_tables import Tables


class Connection:
    """The environment, shared with others of this process and let go of once."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._tables = Tables(environment)
        self._closed = False

    def close(self) -> None:
        """Lets go of the environment; the second call does nothing."""
        if not self._closed:
            self._closed = True
            self._environment.release()
