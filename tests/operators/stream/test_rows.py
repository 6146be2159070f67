"""Records made of columns: the same as from whole rows, whatever options are there and however many rows there are."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.model.events import ExecutionReport
from operators.stream.rows import SLICE_ROWS, records_of


@given(st.lists(st.fixed_dictionaries({}, optional={
    "price": st.integers(1, 9), "text": st.text(max_size=3), "possResend": st.booleans(),
    "market": st.fixed_dictionaries({}, optional={"price": st.integers(1, 9), "volume": st.integers(1, 9)}),
}), max_size=5))  # fmt: skip
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_are_those_of_the_rows(engine: Any, codec: Any, options: list[dict[str, Any]]) -> None:
    plain = msgspec.to_builtins(engine.execution("A|1", 5, 1_000))
    schema = codec.arrow_schema(engine.topic)
    batch = pa.RecordBatch.from_pylist([plain | given for given in options], schema=schema)
    assert records_of(batch, ExecutionReport) == msgspec.convert(batch.to_pylist(), list[ExecutionReport])


@pytest.mark.parametrize("rows", [0, 1, SLICE_ROWS - 1, SLICE_ROWS, SLICE_ROWS + 1, 2 * SLICE_ROWS + 3])
def test_no_row_is_lost_between_slices(engine: Any, codec: Any, rows: int) -> None:
    given = [engine.execution("A|1", number, 1_000) for number in range(rows)]
    batch = pa.RecordBatch.from_pylist(msgspec.to_builtins(given), schema=codec.arrow_schema(engine.topic))
    assert records_of(batch, ExecutionReport) == given


def test_a_required_column_without_a_value_is_refused(engine: Any, codec: Any) -> None:
    batch = pa.RecordBatch.from_pylist([msgspec.to_builtins(engine.execution("A|1", 5, 1_000))])
    batch = batch.set_column(batch.schema.names.index("venue"), "venue", pa.array([None], pa.string()))
    with pytest.raises(msgspec.ValidationError, match="venue"):
        records_of(batch, ExecutionReport)
