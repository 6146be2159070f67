"""Reading a store from another process while its owner writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import StoreError
from operators.state import store as store_module
from operators.state.reader import StoreReader
from operators.state.store import KeyGroupStore, header

READER = """
import sys
from pathlib import Path
from operators.state.reader import StoreReader
with StoreReader(Path(sys.argv[1])) as reader:
    for line in sys.stdin:
        kind, _, text = line.strip().partition(" ")
        if kind == "get":
            print(reader.get(text), flush=True)
        elif kind == "count":
            print(sum(1 for _ in reader.scan(text)), flush=True)
        elif kind == "hold":  # a scan that has begun keeps its view
            scan = reader.scan()
            next(scan)
            print("held", flush=True)
        else:
            print(1 + sum(1 for _ in scan), flush=True)
"""


class OtherProcess:
    """A reader in a process of its own: LMDB allows a store once per process."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", READER, str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def __enter__(self) -> OtherProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_another_process_reads_while_the_owner_writes_grows_its_map_and_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_MAP_BYTES_FIRST", 1 << 17)
    store = KeyGroupStore(tmp_path, changelog="changelog")
    store.write({b"a": header(1, 2) + b"first", b"b": header() + b"x"})
    with OtherProcess(tmp_path) as reader:
        assert reader.ask("get a") == "b'first'"
        assert reader.ask("get nowhere") == "None"
        assert reader.ask("hold") == "held"
        store.write({b"n%05d" % i: header() + bytes(2_000) for i in range(1_000)})
        assert reader.ask("rest") == "2"
        assert reader.ask("count") == "1002"
        assert reader.ask("count n0000") == "10"
        store.reset()
        assert reader.ask("count") == "0"
        store.write({b"a": header() + b"second"})
        assert reader.ask("get a") == "b'second'"
    store.close()


def test_what_belongs_to_the_engine_is_not_scanned(tmp_path: Path) -> None:
    store = KeyGroupStore(tmp_path, changelog="changelog")
    store.write({b"\0engine": header() + b"1", b"a": header() + b"2"})
    with OtherProcess(tmp_path) as reader:
        assert reader.ask("count") == "1"
    store.close()


def test_a_folder_without_a_store_is_our_error_and_holds_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is the flow running"):
        StoreReader(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is the flow running"):
        StoreReader(tmp_path)
    store = KeyGroupStore(tmp_path, changelog="changelog")
    store.close()
