"""The decisions of pre-trade risk against the rules: the rules are walked through the log in every order there may be.

An account's requests lie in one partition and so do its statuses, each in order; the flow may take the two and the
changes of controls in any interleaving. So the rules are walked along all of them at once: after each decision only
those ways are left on which the rules decide the same, to the last field. Warnings from 1 on make decisions tell
what the account has done and has open, and so most ways end soon.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from operators.model.events import OrderIntent, OrderStatusChanged, RiskOutcome
from operators.model.risk.book import keep, memory_book
from operators.model.risk.decision import on_intent
from operators.model.risk.exposure import on_status
from operators.model.risk.limits import Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.request import in_force
from operators.model.risk.state import AccountRisk


class Way(NamedTuple):
    """One way through the log: which controls were in force last, and the account at its end."""

    version: int
    account: AccountRisk | None
    parts: Mapping[str, bytes]

    @property
    def stored(self) -> dict[str, bytes]:
        """The account as it is stored, by suffix."""
        state = {"": msgspec.msgpack.encode(self.account)} if self.account is not None else {}
        return {**state, **self.parts}


class Ways:
    """Ways that have taken in equally many requests, by how many statuses; of two that end alike the older controls."""

    def __init__(self) -> None:
        self.by_statuses: defaultdict[int, dict[object, Way]] = defaultdict(dict)

    def add(self, statuses: int, way: Way) -> None:
        end = frozenset(way.stored.items())
        known = self.by_statuses[statuses].get(end)
        if known is None or known.version > way.version:
            self.by_statuses[statuses][end] = way


class Walk:
    """All ways in which the rules can have made an account's decisions."""

    def __init__(
        self,
        tables: Sequence[tuple[Tables, LimitsInForce]],
        name: str,
        intents: Sequence[OrderIntent],
        statuses: Sequence[OrderStatusChanged],
        decisions: Sequence[RiskOutcome],
    ) -> None:
        self._tables, self._name, self._statuses = tables, name, statuses
        self._intents, self._decisions = intents, decisions
        self._ways = Ways()
        self._ways.add(0, Way(0, None, {}))

    def problems(self) -> list[str]:
        """The first decision that no way leads to; afterwards `ends` tells where the others end."""
        found = []
        if len(self._intents) != len(self._decisions):
            found.append(f"account {self._name}: {len(self._decisions)} decisions on {len(self._intents)} requests")
        for number, (intent, decision) in enumerate(zip(self._intents, self._decisions, strict=False)):
            self._take_statuses()
            candidates: list[RiskOutcome] = []
            self._ways = self._decided(intent, decision, candidates)
            if not self._ways.by_statuses:
                possible = " or ".join(map(str, candidates[:3]))
                return [*found, f"account {self._name}: decision {number} is {decision}, by the rules {possible}"]
        self._take_statuses()
        return found

    def ends(self) -> list[dict[str, bytes]]:
        """What may be stored when all records have been taken in."""
        return [way.stored for way in self._ways.by_statuses[len(self._statuses)].values()]

    def _take_statuses(self) -> None:
        """Goes on from each way with any number of statuses."""
        for number, status in enumerate(self._statuses):
            for way in list(self._ways.by_statuses[number].values()):
                # Controls have a part in executions only.
                versions = len(self._tables) if status.status.filled_quantity else way.version + 1
                for version in range(way.version, versions):
                    tables, limits = self._tables[version]
                    book = memory_book(way.account, way.parts)
                    anomalies = on_status(book, status, tables, limits=limits)
                    account = way.account if anomalies else book.account
                    self._ways.add(number + 1, kept(version, account, way.parts, book.changes()))
                    if anomalies:
                        break

    def _decided(self, intent: OrderIntent, decision: RiskOutcome, candidates: list[RiskOutcome]) -> Ways:
        named = [in_force(intent, *each).version == decision.limits_version for each in self._tables]
        ways = Ways()
        for statuses, of in self._ways.by_statuses.items():
            for way in of.values():
                for version in range(way.version, len(self._tables)):
                    if not named[version]:
                        continue
                    tables, limits = self._tables[version]
                    book = memory_book(way.account, way.parts)
                    outcome = on_intent(book, intent, tables, limits=limits)
                    if outcome == decision:
                        ways.add(statuses, kept(version, book.account, way.parts, book.changes()))
                    elif outcome not in candidates:
                        candidates.append(outcome)
        return ways


def kept(version: int, account: AccountRisk | None, before: Mapping[str, bytes], changes: Mapping[str, Any]) -> Way:
    parts = dict(before)
    keep(parts, changes)
    return Way(version, account, parts)
