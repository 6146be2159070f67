"""The contract between business logic and the engine: pure functions in, results out.

Logic is written per key and never sees batches, stores, offsets or clocks. The engine owns the loop: it brings the
state of the record's key, calls the logic, and makes state, outputs and input offset durable together, exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from config.errors import ProcessingError
from operators.state.store import NEVER

S = TypeVar("S")

FOREVER: Final = NEVER


EntryReader = Callable[[str], bytes | None]
"""Reads an entry beside the key at hand by its suffix."""

PartDecoder = msgspec.msgpack.Decoder[Any]

PartReader = Callable[[str, PartDecoder], Any]
"""Reads a part beside the key at hand by its suffix, decoded."""


def no_entries(_: str) -> bytes | None:
    """The reader of a key that has no entries."""
    return None


def no_parts(_: str, __: PartDecoder) -> Any:
    """The reader of a key that has no parts."""
    return None


class Output(msgspec.Struct, frozen=True):
    """A record for one of the step's output streams. `key` None keeps the key of the record behind it."""

    stream: str
    value: msgspec.Struct
    key: str | None = None


class Result(msgspec.Struct, Generic[S], frozen=True):
    """What logic makes of one record or timer.

    `state` None forgets the key: its tombstone reaches the changelog. `due_ms` asks to be called back, through
    `on_due`, when event time reaches it; `wall_due_ms` the same for the wall clock. Both replace what was asked before.
    `entries` are values kept beside the state, under the key and a suffix, for what grows with a key's life: the engine
    writes only those that a result names, None removes one, and `Context.entry` reads one back. A suffix begins with
    NUL, so that readers of the store can tell entries from states. Entries outlive a state that is forgotten: whoever
    forgets a key removes them. `parts` are the same for what logic goes on changing: values that the engine keeps
    decoded as long as it has room (`Context.part`), and encodes as msgpack once per call, however many records change
    them. They must not be changed afterwards. `anomalies` are counted by kind.
    """

    state: S | None
    outputs: Sequence[Output] = ()
    due_ms: int = FOREVER
    wall_due_ms: int = FOREVER
    entries: Mapping[str, bytes | None] = {}
    parts: Mapping[str, Any] = {}
    anomalies: Sequence[str] = ()


class Context(msgspec.Struct):
    """What logic may know besides state and record.

    `event_time_ms` is the time the key group's records have reached (never goes back), `now_ms` the wall clock when
    the record was read. `broadcast` holds the broadcast tables by source name: key -> latest record. `entry` reads an
    entry that an earlier result has put beside the same key, by its suffix, and gives None where there is none: as of
    the last result, not yet committed ones included. A read costs a look into the store, so what every record needs
    belongs into the state or into parts. `part` reads a part in the same way, given the decoder of its type, and costs
    a look into the store only when the part has not been used for long. What it gives must not be changed.
    """

    event_time_ms: int
    now_ms: int
    broadcast: Mapping[str, Mapping[str, Any]]
    entry: EntryReader = no_entries
    part: PartReader = no_parts


class Logic(Protocol[S]):
    """Business logic of a keyed step. Must not change the state it is given: it returns a new one."""

    state_type: type[S]

    def on_record(self, state: S | None, key: str, role: str, record: Any, context: Context) -> Result[S]:
        """Handles one record of the input named `role`."""
        ...

    def on_due(self, state: S, key: str, context: Context) -> Result[S]:
        """Called when event time or the wall clock reached what the last result asked for."""
        ...

    def window_keys(self, key: str, record: Any, context: Context) -> Sequence[str] | None:
        """For windowed logic: the state keys the record belongs to; None for logic without windows."""
        ...


class PureLogic(Generic[S]):
    """Logic under watch: raises `ProcessingError` when a call changes state that it was given. Testers use it."""

    def __init__(self, logic: Logic[S]) -> None:
        self._logic, self.state_type = logic, logic.state_type

    def on_record(self, state: S | None, key: str, role: str, record: Any, context: Context) -> Result[S]:
        watch = _Watch(state, context)
        result = self._logic.on_record(state, key, role, record, watch.context)
        self._check(watch, key)
        return result

    def on_due(self, state: S, key: str, context: Context) -> Result[S]:
        watch = _Watch(state, context)
        result = self._logic.on_due(state, key, watch.context)
        self._check(watch, key)
        return result

    def window_keys(self, key: str, record: Any, context: Context) -> Sequence[str] | None:
        return self._logic.window_keys(key, record, context)

    def _check(self, watch: _Watch, key: str) -> None:
        if watch.found_change():
            raise ProcessingError(
                f"{type(self._logic).__name__} changed the state of {key!r} that it was given; it must return a new one"
            )


class _Watch:
    """Remembers what logic was given, state and parts, as it was when it was given."""

    def __init__(self, state: Any, context: Context) -> None:
        self._read = context.part
        self._given = [(state, msgspec.msgpack.encode(state))]
        self.context = replace(context, part=self._part)

    def found_change(self) -> bool:
        """Whether any of it is different now."""
        return any(msgspec.msgpack.encode(value) != before for value, before in self._given)

    def _part(self, suffix: str, decoder: PartDecoder) -> Any:
        value = self._read(suffix, decoder)
        self._given.append((value, msgspec.msgpack.encode(value)))
        return value


LogicFactory = Callable[[Any], Logic[Any]]
