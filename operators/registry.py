"""What an operator is to the engine: its declaration, and how a kernel of it is built from typed options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from config.topology import OperatorSpec
from operators.state.groups import GroupStores
from operators.stream.dormant import DormantKernel
from operators.stream.kernel import Kernel
from operators.stream.scalar import ScalarKernel
from operators.stream.step import Logic, PureLogic
from operators.stream.streams import StreamSpec


@dataclass(frozen=True, slots=True)
class Build:
    """All that building the kernel of one step may use."""

    flow: str
    step_id: str
    options: Any
    retain_ms: int | None
    stores: GroupStores
    event_types: Mapping[str, type[msgspec.Struct]]
    """By topic."""
    streams: Mapping[str, StreamSpec]
    broadcast: Mapping[str, Mapping[str, Any]]
    stop_on_error: bool
    cache_rows: int
    clock_ahead_max_ms: int
    record_bytes_max: int
    """The largest record that the log takes, and so the largest state of a key."""
    source_name: str
    """What outputs carry as `source`."""
    check_purity: bool = False
    """Whether scalar logic is watched for changing the state it is given."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator that topologies can name."""

    spec: OperatorSpec
    build: Callable[[Build], Kernel]
    flush_each_epoch: bool = True
    """Whether readers of its store and its timers need every epoch on disk; otherwise writes are gathered longer."""
    internal: Mapping[str, type[msgspec.Struct]] = field(default_factory=dict)
    """Records of its streams that only other steps read: they have no topic, and no schema but their type."""


def scalar(
    spec: OperatorSpec,
    logic: Callable[[Build], Logic[Any]],
    *,
    dormant: bool = False,
    flush_each_epoch: bool = True,
) -> Operator:
    """An operator made of scalar logic; a dormant one costs nothing until it has something to do."""

    def build(given: Build) -> Kernel:
        kernel = ScalarKernel(
            given.step_id,
            PureLogic(logic(given)) if given.check_purity else logic(given),
            given.stores,
            event_types=given.event_types,
            streams=given.streams,
            broadcast=given.broadcast,
            stop_on_error=given.stop_on_error,
            cache_rows=given.cache_rows,
            clock_ahead_max_ms=given.clock_ahead_max_ms,
            record_bytes_max=given.record_bytes_max,
        )
        return DormantKernel(kernel, given.stores) if dormant else kernel

    return Operator(spec, build, flush_each_epoch=flush_each_epoch)
