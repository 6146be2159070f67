"""Output streams: what few records of several batches become, and which are too large for the log."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from broker.byte_columns import as_list
from config.errors import RecordTooLargeError
from operators.stream import streams
from operators.stream.kernel import StreamBatch
from operators.stream.records import Origin, RecordCopy
from operators.stream.streams import check_sizes, put_together


def record(offset: int) -> RecordCopy:
    return RecordCopy(("topic", 0, offset, b"key", b"value", None, (1, 0)))


def told(numbers: list[int], *, records: list[int], rows: list[int] | None, as_array: bool = True) -> StreamBatch:
    keys = [b"%d" % number for number in numbers]
    return StreamBatch(
        pa.RecordBatch.from_pydict({"number": pa.array(numbers, pa.int64())}),
        pa.array(keys, pa.binary()) if as_array else keys,
        Origin([record(offset) for offset in records]),
        None if rows is None else np.array(rows, np.int64),
    )


BATCHES = [
    told([1, 2], records=[10, 11], rows=None),
    told([3], records=[20, 21, 22], rows=[2]),
    told([4, 5], records=[30], rows=[0, 0], as_array=False),
]


def test_few_records_become_one_batch_and_keep_the_inputs_behind_them() -> None:
    [whole] = put_together(BATCHES)
    assert whole.batch.column("number").to_pylist() == [1, 2, 3, 4, 5]
    assert as_list(whole.keys) == [b"1", b"2", b"3", b"4", b"5"]
    assert whole.origin_rows is not None
    assert [whole.origin.records[row].offset() for row in whole.origin_rows.tolist()] == [10, 11, 22, 30, 30]


def test_many_records_stay_the_batches_that_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_FEW", 4)
    assert put_together(BATCHES) is BATCHES


@pytest.mark.parametrize("room", [0, 1])
def test_a_record_too_large_is_found_among_others(room: int) -> None:
    """The largest has 3 bytes of key and 5 of value; all together are far more."""
    keys, values = [b"a", b"abc", b""], pa.array([b"1234", b"12345", None], pa.binary())
    if room:
        check_sizes("topic", keys, values, 8)
        return
    with pytest.raises(RecordTooLargeError) as raised:
        check_sizes("topic", keys, values, 7)
    assert "8" in str(raised.value)
