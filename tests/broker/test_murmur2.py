import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.murmur2 import murmur2, partition_of, partitions_of


# From UtilsTest.testMurmur2 of Apache Kafka's Java client.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_equals_the_java_clients(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected
    assert partition_of(data, 1_000) == (expected & 0x7FFFFFFF) % 1_000


@given(st.lists(st.binary(max_size=40), max_size=120), st.integers(1, 64))
def test_many_keys_at_once_go_where_each_alone_goes(keys: list[bytes], partitions: int) -> None:
    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]


def test_many_keys_of_one_length_go_where_each_alone_goes() -> None:
    keys = [b"ACC%05d|ORD%08d" % (number, number) for number in range(500)]
    assert partitions_of(keys, 12) == [partition_of(key, 12) for key in keys]
