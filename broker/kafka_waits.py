"""Waiting for a cluster aloud: which brokers a call waits for and until when, and what to check when it was in vain."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Final

import structlog

from config.errors import BrokerUnavailableError

SILENT_S: Final = 3.0
"""Calls that take no longer are not spoken of."""
REPEAT_S: Final = 10.0
_LOOK_S: Final = 0.5
_SAME_AGAIN_S: Final = 30.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Wait:
    """One call under way."""

    what: str
    since_s: float
    deadline_s: float
    told_s: float = 0.0
    """How long it had taken when it was last spoken of."""


@dataclass(frozen=True, slots=True)
class Waits:
    """The calls of all clients of one cluster that are under way; a thread speaks of those that take long."""

    brokers: str
    clock: Callable[[], float] = time.monotonic
    why: Callable[[], str] = lambda: ""
    """Why they cannot be reached, as far as it can be found out; may take some seconds."""
    _under_way: dict[int, _Wait] = field(default_factory=dict)
    _thread: list[threading.Thread] = field(default_factory=list)
    _reason: list[str] = field(default_factory=list)
    """The newest that was found out."""

    @contextmanager
    def __call__(self, what: str, deadline_s: float) -> Iterator[None]:
        """Around a call that waits for the cluster at most so long; `what` says what cannot be done meanwhile."""
        wait = _Wait(what, self.clock(), deadline_s)
        self._under_way[id(wait)] = wait
        if not self._thread:
            self._thread.append(threading.Thread(target=self._run, name="kafka-waits", daemon=True))
            self._thread[0].start()
        try:
            yield
        except BrokerUnavailableError as error:
            waited_s = self.clock() - wait.since_s
            if waited_s < min(SILENT_S, deadline_s):
                raise
            raise BrokerUnavailableError(
                f"{error}. Waited {waited_s:.0f} s for {self.brokers}{self._told_reason()}: check that these brokers "
                "run and can be reached from here, that the addresses they advertise can, and kafka.bootstrap_servers, "
                "kafka.security_protocol and the credentials"
            ) from error
        finally:
            del self._under_way[id(wait)]

    def speak(self) -> None:
        """Says, of every call that takes long and was not spoken of lately, what it waits for, until when, and why."""
        for wait in list(self._under_way.values()):
            waited_s = self.clock() - wait.since_s
            if waited_s < SILENT_S or (wait.told_s and waited_s - wait.told_s < REPEAT_S):
                continue
            wait.told_s = waited_s
            self._reason[:] = [self.why()]
            until = datetime.now(UTC) + timedelta(seconds=max(0.0, wait.deadline_s - waited_s))
            log.warning(
                "waiting for Kafka", brokers=self.brokers, meanwhile=wait.what, waited_s=round(waited_s),
                until=until.isoformat(timespec="seconds"), reason=self._reason[0],
            )  # fmt: skip

    def _told_reason(self) -> str:
        return f" ({self._reason[0]})" if self._reason and self._reason[0] else ""

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self.speak()


class SameAgain(logging.Filter):
    """Lets a message of the client pass once in a while: a broker that is away is worth a line, not one per attempt."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._passed_at_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True for a message that was not passed lately; how long an attempt took makes it no other."""
        message, now_s = record.getMessage().partition(" (after ")[0], self._clock()
        if now_s - self._passed_at_s.get(message, -_SAME_AGAIN_S) < _SAME_AGAIN_S:
            return False
        if len(self._passed_at_s) > 1_000:
            self._passed_at_s.clear()
        self._passed_at_s[message] = now_s
        return True


class Errand:
    """A thread that makes the calls of one client which may never return, so that its owner can give them up.

    librdkafka may wait for ever in `send_offsets_to_transaction`, whatever time it is given, when the coordinator of
    the group is away for some milliseconds. The thread of a call that was given up stays and dies with the process.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], object], SimpleQueue[BaseException | None]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="kafka-calls", daemon=True).start()

    def run(self, call: Callable[[], object], timeout_s: float) -> None:
        """Makes the call and raises what it raises; `TimeoutError` if it does not return in time."""
        done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._calls.put((call, done))
        try:
            error = done.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError(f"the client has not returned within {timeout_s:.0f} s") from None
        if error is not None:
            raise error

    def close(self) -> None:
        """Ends the thread once it is idle."""
        self._calls.put(None)

    def _run(self) -> None:
        while (given := self._calls.get()) is not None:
            call, done = given
            try:
                call()
            except BaseException as error:
                done.put(error)
            else:
                done.put(None)
            del given, call, done  # what was called must not be kept alive by this thread
