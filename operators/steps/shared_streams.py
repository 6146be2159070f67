"""Operators whose scalar logic puts a `SharedRequest` on streams that only other steps read."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from operators.model.risk.shared import SharedRequest
from operators.registry import Build, Operator
from operators.stream.arrow_types import schema_of
from operators.stream.dormant import DormantKernel
from operators.stream.kernel import Kernel
from operators.stream.streams import StreamSpec

_NAME: Final = SharedRequest.__name__


def with_shared_streams(operator: Operator, *streams: str) -> Operator:
    """The operator with these streams known to carry requests on their way to their account.

    Its kernel costs nothing until there is a first such request. Nobody reads its stores, and it has no timers.
    """
    specs = {stream: StreamSpec(_NAME, schema_of(SharedRequest)) for stream in streams}

    def build(given: Build) -> Kernel:
        kernel = operator.build(replace(given, streams={**given.streams, **specs}))
        return DormantKernel(kernel, given.stores)

    internal: dict[str, type[msgspec.Struct]] = {**operator.internal, _NAME: SharedRequest}
    return replace(operator, build=build, internal=internal, flush_each_epoch=False)
