"""What travels: a piece of a column crosses processes without the rest of it."""

from __future__ import annotations

import pickle

import pyarrow as pa

from broker.byte_columns import as_list
from operators.stream.records import Changes, Encoded

COLUMN = pa.array([b"%06d" % number * 100 for number in range(1_000)], pa.binary())


def test_a_slice_of_values_is_pickled_without_what_lies_beside_it() -> None:
    changes = Changes("changelog", 3, [b"a", b"b"], COLUMN.slice(500, 2))
    encoded = Encoded("out", COLUMN.slice(10, 2), COLUMN.slice(500, 2))
    for sent in (changes, encoded):
        assert len(pickle.dumps(sent)) < 10 * 600
        found = pickle.loads(pickle.dumps(sent))
        assert type(found) is type(sent)
        assert found.topic == sent.topic
        assert as_list(found.keys) == as_list(sent.keys)
        assert as_list(found.values) == as_list(sent.values)
    assert pickle.loads(pickle.dumps(changes)).group == 3


def test_lists_stay_what_they_are() -> None:
    changes = Changes("changelog", 0, [b"a", b"gone"], [b"state", None])
    assert pickle.loads(pickle.dumps(changes)) == changes
