"""Why a process of a flow failed: kept by the process that knows, and handed to the supervisor that asks.

When one process fails, Bytewax tears down the connections of all, and what every one of them reports then, the failing
one included, is that a peer is gone. So errors are taken where they are raised, before Bytewax sees them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from config.errors import OrderflowError, PeerGoneError

FAILURE_VARIABLE: Final = "ORDERFLOW_FAILURE_PIPE"
"""Tells a process the file descriptor on which its supervisor wants to hear why it failed."""
_PIPE_BYTES: Final = 65_536
_MESSAGE_LENGTH_MAX: Final = 2_000
"""So that even what tells twice or escapes every letter fits into the pipe, since nobody reads before the end."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one process of a cluster ended."""

    process: int
    error: str
    """The class of the error."""
    message: str
    is_consequence: bool = False
    """True if all it knows is that another process is gone."""
    at_ns: int = 0
    """When it was told, by the host's monotonic clock."""
    is_final: bool = False
    """True if starting the same again is of no use."""


class FirstError:
    """The first error that the parts of a process raised, whatever is made of it further up."""

    def __init__(self, tell: Callable[[BaseException], object] = lambda _: None) -> None:
        """`tell` is called with the first error at once: the process may not live to report it later."""
        self._tell = tell
        self.error: BaseException | None = None

    def watch(self, part: T, *methods: str) -> T:
        """The part, with these methods of it watched."""
        for name in methods:
            setattr(part, name, self.watched(getattr(part, name)))
        return part

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose errors are noted on their way."""

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return function(*arguments, **options)
            except StopIteration:  # the end of a source
                raise
            except BaseException as error:
                if self.error is None:
                    self.error = root_of(error)
                    self._tell(self.error)
                raise

        return call


def root_of(error: BaseException) -> BaseException:
    """The error behind Bytewax's wrappers: ours if there is one."""
    link: BaseException | None = error
    passed: set[int] = set()  # chains of causes may be cycles
    while link is not None and id(link) not in passed:
        if isinstance(link, OrderflowError):
            return link
        passed.add(id(link))
        link = link.__cause__ or link.__context__
    return error


def tell_supervisor(error: BaseException, environment: Mapping[str, str]) -> bool:
    """Hands an error to the supervisor of this process, who heeds the first; False if there is no supervisor."""
    pipe = environment.get(FAILURE_VARIABLE)
    if not pipe:
        return False
    failure = Failure(
        int(environment.get("JOB_COMPLETION_INDEX", "0")),
        type(error).__name__,
        str(error)[:_MESSAGE_LENGTH_MAX],
        isinstance(error, PeerGoneError),
        time.monotonic_ns(),
        isinstance(error, OrderflowError) and not error.restart_helps,
    )
    with suppress(OSError):  # the supervisor is gone: this process ends anyway
        os.write(int(pipe), json.dumps(asdict(failure)).encode() + b"\n")
    return True


class FailurePipe:
    """A supervisor's way to hear from one process why it failed."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)

    def started(self) -> None:
        """To be called when the process has the writing end: this side needs it no more."""
        os.close(self.writing)

    def close(self) -> Failure | None:
        """What the process told first; None if it told nothing."""
        try:
            told = os.read(self._reading, _PIPE_BYTES)
        except BlockingIOError:  # it still runs and is silent
            return None
        finally:
            os.close(self._reading)
        first, complete, _ = told.partition(b"\n")
        return Failure(**json.loads(first)) if complete else None


def cause_of(told: Sequence[Failure | None], exit_codes: Sequence[int | None]) -> Failure | None:
    """The cause among what processes told and how they ended, both by their index; None if nobody failed.

    An error of its own goes before an end without a word, that before the loss of a peer; of several the first told.
    """
    in_order = sorted((failure for failure in told if failure is not None), key=lambda failure: failure.at_ns)
    mute = [
        Failure(
            index, "", f"it ended with exit code {code} and left no word" if code > 0 else f"signal {-code} ended it"
        )
        for index, (failure, code) in enumerate(zip(told, exit_codes, strict=True))
        if code and failure is None
    ]
    own = [failure for failure in in_order if not failure.is_consequence]
    return next(iter([*own, *mute, *in_order]), None)
