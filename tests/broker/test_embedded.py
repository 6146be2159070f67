"""What is particular to the embedded log: its disk, its processes, compaction and retention."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from broker.contract import Admin, Record, TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from broker.embedded_environment import Environment

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def log(embedded_log: EmbeddedLog) -> EmbeddedLog:
    return embedded_log


@pytest.fixture
def admin(log: EmbeddedLog) -> Iterator[Admin]:
    with closing(log.admin()) as admin:
        yield admin


def write(log: EmbeddedLog, topic: str, keys: list[bytes | None], values: list[bytes | None]) -> None:
    with closing(log.transaction("writer", "group")) as transaction:
        transaction.begin()
        transaction.send_batch(topic, keys, values)
        transaction.commit({})


def read(log: EmbeddedLog, topic: str, start: int = 0) -> list[Record]:
    records: list[Record] = []
    with closing(log.reader("reader")) as reader:
        reader.assign({TopicPartition(topic, 0): start})
        while not reader.at_end():
            records.extend(reader.read(1_000, 0))
    return records


def test_compaction_keeps_the_last_record_of_each_key(log: EmbeddedLog, admin: Admin) -> None:
    admin.create_topics([TopicSpec("c", 1, config={"cleanup.policy": "compact"})])
    long_key = b"k" * 2_000
    write(log, "c", [b"a", b"b", b"a", long_key], [b"1", b"2", b"3", b"4"])
    assert [(r.offset(), r.key(), r.value()) for r in read(log, "c")] == [
        (1, b"b", b"2"),
        (2, b"a", b"3"),
        (3, long_key, b"4"),
    ]
    write(log, "c", [b"b", long_key], [None, b"5"])
    assert [(r.offset(), r.key(), r.value()) for r in read(log, "c")] == [
        (2, b"a", b"3"),
        (4, b"b", None),
        (5, long_key, b"5"),
    ]
    assert admin.ends([TopicPartition("c", 0)]) == {TopicPartition("c", 0): 6}
    # An offset that compaction took is a hole, not an error.
    assert [record.offset() for record in read(log, "c", start=1)] == [2, 4, 5]


def test_a_compacted_topic_does_not_grow_with_its_history(log: EmbeddedLog, admin: Admin) -> None:
    admin.create_topics([TopicSpec("c", 1, config={"cleanup.policy": "compact"})])
    keys: list[bytes | None] = [b"%d" % number for number in range(100)]
    sizes = []
    for turn in range(60):
        write(log, "c", keys, [b"%d" % turn * 200] * 100)
        sizes.append((Path(log.path) / "data.mdb").stat().st_blocks)
    assert sizes[-1] == sizes[19]
    assert len(read(log, "c")) == 100


def test_retention_by_time_removes_the_oldest(log: EmbeddedLog, admin: Admin) -> None:
    admin.create_topics([TopicSpec("t", 1, config={"retention.ms": "60000"})])
    with closing(log.transaction("writer", "group")) as transaction:
        transaction.begin()
        transaction.send("t", b"k", b"old", timestamp_ms=1)
        transaction.send("t", b"k", b"new")
        transaction.send("t", b"k", b"old behind new", timestamp_ms=1)
        transaction.commit({})
    assert admin.beginnings([TopicPartition("t", 0)]) == {TopicPartition("t", 0): 1}
    assert [record.value() for record in read(log, "t", start=1)] == [b"new", b"old behind new"]


def test_retention_by_size_removes_the_oldest(log: EmbeddedLog, admin: Admin) -> None:
    admin.create_topics([TopicSpec("t", 1, config={"retention.bytes": "10000"})])
    for _ in range(20):
        write(log, "t", [b"k"] * 10, [b"v" * 100] * 10)
    partition = TopicPartition("t", 0)
    beginning = admin.beginnings([partition])[partition]
    kept = read(log, "t", start=beginning)
    assert [record.offset() for record in kept] == list(range(beginning, 200))
    assert 50 < len(kept) <= 100


def test_an_expired_offset_is_loud(log: EmbeddedLog, admin: Admin) -> None:
    admin.create_topics([TopicSpec("t", 1, config={"retention.bytes": "0"})])
    write(log, "t", [b"k"], [b"v"])
    with pytest.raises(Exception, match=r"offset 0 of t\[0\] is out of range: the log has 1 to 1"):
        read(log, "t")


WRITER = """
import sys
from contextlib import closing
from broker.contract import TopicPartition
from broker.embedded import EmbeddedLog
path, name = sys.argv[1:]
with closing(EmbeddedLog(path, map_bytes=1 << 20).transaction(name, name)) as transaction:
    for turn in range(60):
        transaction.begin()
        transaction.send_batch("a", [name.encode()] * 20, [b"%d" % (turn * 20 + i) + b"." * 200 for i in range(20)])
        transaction.send("b", name.encode(), b"%d" % turn)
        transaction.commit({TopicPartition("a", 0): turn + 1})
"""


def test_many_processes_share_a_log_that_outgrows_its_map(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log", map_bytes=1 << 18)
    names = ["one", "two", "three"]
    with ExitStack() as stack:
        admin = stack.enter_context(closing(log.admin()))
        admin.create_topics([TopicSpec("a", 2), TopicSpec("b", 1)])
        reader = stack.enter_context(closing(log.reader("reader")))
        reader.assign({TopicPartition("a", 0): 0, TopicPartition("a", 1): 0, TopicPartition("b", 0): 0})
        writers = [stack.enter_context(run(WRITER, log.path, name)) for name in names]
        records: list[Record] = []
        while len(records) < 3 * 60 * 21 and (any(w.poll() is None for w in writers) or not reader.at_end()):
            records.extend(reader.read(500, 0.05))
        assert [(writer.communicate(timeout=60)[1], writer.returncode) for writer in writers] == [("", 0)] * 3
        while batch := reader.read(500, 0.05):
            records.extend(batch)
        for name in names:
            mine = [r for r in records if r.key() == name.encode()]
            numbers = [int((r.value() or b"").rstrip(b".")) for r in mine if r.topic() == "a"]
            assert numbers == list(range(60 * 20))
            assert [int(r.value() or b"") for r in mine if r.topic() == "b"] == list(range(60))
            assert admin.committed(name, [TopicPartition("a", 0)]) == {TopicPartition("a", 0): 60}


KILLED = """
import os, signal, sys
from broker.embedded import EmbeddedLog
log = EmbeddedLog(sys.argv[1])
transaction = log.transaction("writer", "group")
transaction.begin()
transaction.send("t", b"k", b"never committed")
environment = transaction._environment
def die(lmdb_transaction):
    transaction._buffer.apply(lmdb_transaction)
    os.kill(os.getpid(), signal.SIGKILL)
environment.write(die)
"""


def test_a_writer_killed_inside_its_commit_leaves_nothing_and_blocks_nobody(log: EmbeddedLog, admin: Admin) -> None:
    admin.create_topics([TopicSpec("t", 1)])
    with run(KILLED, log.path) as writer:
        assert writer.wait(30) == -9
        assert writer.communicate() == ("", "")
    write(log, "t", [b"k"], [b"committed"])
    assert [record.value() for record in read(log, "t")] == [b"committed"]


FULL_DISK = """
import resource, sys
from broker.contract import TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from config.errors import LogFullError
log = EmbeddedLog(sys.argv[1])
admin = log.admin()
admin.create_topics([TopicSpec("t", 1)])
partition = TopicPartition("t", 0)

def fill():
    transaction = log.transaction("writer", "group")
    try:
        while True:
            transaction.begin()
            transaction.send_batch("t", [b"k"] * 50, [b"v" * 1_000] * 50)
            transaction.commit({partition: admin.ends([partition])[partition] + 50})
            if admin.ends([partition])[partition] >= 10_000:
                return
    finally:
        transaction.close()

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, hard))  # a disk of three megabytes
try:
    fill()
except LogFullError as error:
    assert sys.argv[1] in str(error) and "Free space" in str(error) and "MB are free" in str(error), error
    print("full")
kept = admin.ends([partition])[partition]
assert 0 < kept < 10_000 and kept % 50 == 0, kept
assert admin.committed("group", [partition]) == {partition: kept}
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # somebody freed space
fill()
reader = log.reader("reader")
reader.assign({partition: 0})
offsets = []
while not reader.at_end():
    offsets += [record.offset() for record in reader.read(1_000, 1.0)]
assert offsets == list(range(10_000)), len(offsets)
print("whole")
"""


def test_a_full_disk_is_an_error_that_loses_nothing_and_passes(tmp_path: Path) -> None:
    with run(FULL_DISK, tmp_path / "log") as writer:
        assert writer.communicate(timeout=60) == ("full\nwhole\n", "")


def test_the_environment_is_opened_once_per_process_and_closed_by_its_last_user(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "log")
    (tmp_path / "log").mkdir()
    first, second = EmbeddedLog(tmp_path / "log").admin(), EmbeddedLog(tmp_path / "link").admin()
    assert [path for path in Environment._open if path.startswith(str(tmp_path))] == [str(tmp_path / "log")]
    first.close()
    first.close()
    second.create_topics([TopicSpec("t", 1)])
    second.close()
    assert str(tmp_path / "log") not in Environment._open
    with closing(EmbeddedLog(str(tmp_path / "log"), durable=True).admin()) as reopened:
        assert reopened.topics() == {"t": 1}


def test_making_a_log_touches_no_disk(tmp_path: Path) -> None:
    EmbeddedLog(tmp_path / "log")
    assert not (tmp_path / "log").exists()
