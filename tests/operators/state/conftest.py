"""A changelog to write to, as the committer would, and stores over it whose clock stands still until it is moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from broker.contract import TopicSpec
from broker.embedded import EmbeddedLog
from operators.state import groups as groups_module
from operators.state.groups import GroupStores, StateSize

CHANGELOG = "flow-step-changelog"
GROUPS = 3


@dataclass
class Changelog:
    """A changelog topic of three key groups, and the flow that writes it."""

    log: EmbeddedLog
    name: str = CHANGELOG

    def commit(self, group: int, changes: Mapping[bytes, bytes | None]) -> None:
        """One committed epoch of one key group."""
        transaction = self.log.transaction("flow", "flow")
        transaction.begin()
        transaction.send_batch(self.name, list(changes), list(changes.values()), partition=group)
        transaction.commit({})
        transaction.close()

    def recreate(self) -> None:
        """Replaces the topic by an empty one of the same name."""
        admin = self.log.admin()
        admin.delete_topics([self.name])
        admin.create_topics([TopicSpec(self.name, GROUPS)])
        admin.close()


@pytest.fixture
def changelog(embedded_log: EmbeddedLog) -> Changelog:
    admin = embedded_log.admin()
    admin.create_topics([TopicSpec(CHANGELOG, GROUPS)])
    admin.close()
    return Changelog(embedded_log)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The monotonic clock that the stores of a step look at; `now` is set by the test."""
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(groups_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def open_stores(changelog: Changelog, tmp_path: Path) -> Iterator[Callable[..., GroupStores]]:
    opened: list[GroupStores] = []

    def open_stores(
        *,
        flush_interval_s: float = 0.0,
        position_interval_s: float = 5.0,
        on_size: Callable[[StateSize], None] = lambda _: None,
    ) -> GroupStores:
        stores = GroupStores(
            changelog.log,
            client_id="test",
            directory=tmp_path / "state",
            changelog=changelog.name,
            flush_interval_s=flush_interval_s,
            position_interval_s=position_interval_s,
            on_size=on_size,
        )
        opened.append(stores)
        return stores

    yield open_stores
    for stores in opened:
        stores.close(committed=False)
