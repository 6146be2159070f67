"""The states and parts that a step has at hand: a bounded cache of decoded values over its stores."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec

from config.errors import ProcessingError, StoreError
from operators.state.groups import GroupStores
from operators.state.store import HEADER_BYTES, header
from operators.stream.scalar_call import Call, Entry, Place, check_state_key
from operators.stream.step import PartDecoder, Result


class StateCache:
    """What logic reads is looked for in the present call, then in memory, then in the stores.

    States and parts share one bound. What a call changed is changed here at once and encoded once, when the call ends;
    `undo` forgets it, so that the stores, which know nothing of the call yet, are read anew. Nothing leaves the cache
    while a call runs: `evict` is called when the stores have what it changed.
    """

    def __init__(self, step_id: str, stores: GroupStores, state_type: Any, rows_max: int) -> None:
        self._step_id, self._stores, self._rows_max = step_id, stores, rows_max
        self._held: OrderedDict[Place, Entry] = OrderedDict()
        self._decode = msgspec.msgpack.Decoder(state_type).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def load(self, places: Iterable[tuple[int, str]]) -> None:
        """Brings the states of all keys into the cache with one read per key group."""
        wanted: dict[int, dict[bytes, str]] = {}
        for place in places:
            if place not in self._held:
                wanted.setdefault(place[0], {})[place[1].encode()] = place[1]
        for group, keys in wanted.items():
            found = self._stores.get_many(group, list(keys))
            for raw, key in keys.items():
                value = found.get(raw)
                self._held[group, key] = Entry(None) if value is None else self._state(key, value)

    def state(self, group: int, key: str) -> Entry:
        """The state of a key, and when time must look at it; without a state where there is none."""
        entry = self._held.get((group, key))
        if entry is None:
            self.load([(group, key)])
            entry = self._held[group, key]
        return entry

    def part(self, call: Call, group: int, key: str, suffix: str, decoder: PartDecoder) -> Any:
        """A part beside a key as of the last result, decoded; None where there is none."""
        place = group, key, suffix
        held = self._held.get(place)
        if held is not None:
            self._held.move_to_end(place)
            return held.state
        check_state_key(key, suffix)  # the record's fault, where the store would have the flow stopped
        name = f"{key}{suffix}".encode()
        if name in call.entries.get(group, ()):  # not kept: the call may be undone
            return self._part(name, call.entries[group][name], decoder)
        value = self._part(name, self._stored(group, name), decoder)
        self._held[place] = Entry(value)
        return value

    def entry(self, call: Call, group: int, key: str, suffix: str) -> bytes | None:
        """An entry beside a key as of the last result: of this call, of an epoch not yet flushed, or of the store."""
        changed = call.dirty.get((group, key, suffix))
        if changed is not None:
            return None if changed.state is None else self._encode(changed.state)
        check_state_key(key, suffix)  # as above
        name = f"{key}{suffix}".encode()
        written = call.entries.get(group)
        value = written[name] if written is not None and name in written else self._stored(group, name)
        return None if value is None else value[HEADER_BYTES:]

    def accept(self, call: Call, group: int, key: str, result: Result[Any]) -> None:
        """Takes in what logic returned for a key, to be encoded when the call ends."""
        held, dirty = self._held, call.dirty
        state = held[group, key]
        state.state, state.due_ms, state.wall_due_ms = result.state, max(0, result.due_ms), max(0, result.wall_due_ms)
        dirty[group, key] = state
        for suffix, value in result.entries.items():
            place = group, key, suffix
            held.pop(place, None)
            dirty.pop(place, None)
            raw = None if value is None else header() + value
            call.entries.setdefault(group, {})[f"{key}{suffix}".encode()] = raw
        for suffix, value in result.parts.items():
            place = group, key, suffix
            part = held.get(place)
            if part is None:
                part = held[place] = Entry(value)
            else:
                part.state = value
            dirty[place] = part

    def encoded(self, call: Call) -> dict[int, dict[bytes, bytes | None]]:
        """Everything a call changed by key group, as the stores and the changelog take it."""
        values, encode = {group: dict(written) for group, written in call.entries.items()}, self._encode
        for place, entry in call.dirty.items():
            value = None
            if entry.state is not None:
                value = header(entry.due_ms, entry.wall_due_ms) + encode(entry.state)
            values.setdefault(place[0], {})["".join(place[1:]).encode()] = value
        return values

    def undo(self, call: Call) -> None:
        """Forgets what a call changed."""
        for place in call.dirty:
            self._held.pop(place, None)

    def evict(self, call: Call) -> None:
        """Forgets what has no value any more, and what was longest unused beyond the cache's bound."""
        for place, entry in call.dirty.items():
            if entry.state is None:
                self._held.pop(place, None)
            else:
                self._held.move_to_end(place)
        while len(self._held) > self._rows_max:
            self._held.popitem(last=False)

    def _state(self, key: str, value: bytes) -> Entry:
        due, wall = int.from_bytes(value[:8], "big"), int.from_bytes(value[8:HEADER_BYTES], "big")
        try:
            return Entry(self._decode(value[HEADER_BYTES:]), due, wall)
        except msgspec.DecodeError as error:
            raise StoreError(self._unreadable(f"the state stored under {key!r}", error)) from error

    def _part(self, name: bytes, value: bytes | None, decoder: PartDecoder) -> Any:
        try:
            return None if value is None else decoder.decode(value[HEADER_BYTES:])
        except msgspec.DecodeError as error:
            raise ProcessingError(self._unreadable(f"the part stored under {name!r}", error)) from error

    def _unreadable(self, what: str, error: Exception) -> str:
        return (
            f"step {self._step_id}: {what} is not what its logic reads: {error}; "
            "run the version that wrote it, or rebuild the step's state"
        )

    def _stored(self, group: int, name: bytes) -> bytes | None:
        try:
            return self._stores.get_many(group, [name]).get(name)
        except Exception as error:  # inside logic, where only the record would be blamed for it
            raise ProcessingError(f"step {self._step_id}: the entry {name!r} cannot be read: {error}") from error
