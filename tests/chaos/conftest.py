"""What the tests of exactness share: a server that forks processes, and logs that may be killed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # tests are no package

from chaos_processes import ForkServer
from chaos_world import LogKind, World, world

TOOLS_DIR = Path(__file__).parents[2] / ".tools" / "kafka"
LOGS = ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)]


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server


@pytest.fixture
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[LogKind], World]]:
    """A fresh log of the kind asked for, with the product's topics; Kafka on a broker of its own."""
    with ExitStack() as stack:

        def make(kind: LogKind) -> World:
            tools_dir: Path = request.getfixturevalue("kafka_tools_dir") if kind == "kafka" else TOOLS_DIR
            folder = tmp_path / f"world-{len(list(tmp_path.glob('world-*')))}"
            return stack.enter_context(world(kind, folder, tools_dir=tools_dir))

        yield make


@pytest.fixture(params=LOGS)
def place(request: pytest.FixtureRequest, make_world: Callable[[LogKind], World]) -> World:
    return make_world(request.param)
