"""An owner of key-group stores in another process, as views are read: LMDB allows a store once per process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

_SCRIPT = """
import json, sys
from pathlib import Path
from operators.state.store import KeyGroupStore, header
stores = {}
for line in sys.stdin:
    command = json.loads(line)
    path = command["path"]
    if command["reopen"] and path in stores:
        stores.pop(path).close()
    if path not in stores:
        stores[path] = KeyGroupStore(Path(path), changelog="c")
    changes = {k.encode(): None if v is None else header() + bytes.fromhex(v) for k, v in command["changes"].items()}
    stores[path].write(changes)
    print("written", flush=True)
"""


class StoreOwner:
    """Writes to the stores of one step, and keeps them open as a flow does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def write(self, group: int, changes: Mapping[str, bytes | None], *, reopen: bool = False) -> None:
        """One epoch of one key group; None deletes. Returns when it is in the store."""
        hexadecimal = {key: value.hex() if value is not None else None for key, value in changes.items()}
        command = {"path": str(self.directory / f"{group:03d}"), "changes": hexadecimal, "reopen": reopen}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "written\n"

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def owner_of(tmp_path: Path) -> Iterator[object]:
    """Gives the owner of a step's stores under the state folder `tmp_path`, of flow `views` unless named."""
    owners: list[StoreOwner] = []

    def owner(step: str, flow: str = "views") -> StoreOwner:
        owners.append(StoreOwner(tmp_path / flow / step))
        return owners[-1]

    yield owner
    for each in owners:
        each.close()
