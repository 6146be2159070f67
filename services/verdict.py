"""The exactness verdict: what the flows wrote, compared with what the inputs must lead to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from broker.contract import Log
from operators.codec.codec import Codec
from services.records import read_topic
from services.truth import ENDS, Expected, ExpectedParent, OrderOutputs, Outputs, Truth
from services.truth_fees import FeeTable
from services.truth_states import Final

DIFFERENCES_KEPT = 5


@dataclass(slots=True)
class Check:
    """One fact that must hold: how many things were compared, how many differ, and the first that do, for people."""

    name: str
    compared: int = 0
    different: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return self.different == 0

    def equal(self, subject: str, actual: object, expected: object) -> None:
        """Compares one thing."""
        self.compared += 1
        if actual != expected:
            self.fail(subject, f"is {actual}, expected {expected}")

    def possible(self, subject: str, actual: object, expected: Set[Any]) -> None:
        """Compares one thing of which several are right."""
        self.compared += 1
        if actual not in expected:
            self.fail(subject, f"is {actual}, expected {' or '.join(sorted(map(str, expected)))}")

    def fail(self, subject: str, explanation: str) -> None:
        """Notes that the fact does not hold of one thing."""
        self.different += 1
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append(f"{subject}: {explanation}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks. `counts` are facts that explain them, such as how many duplicates the inputs had."""

    checks: Sequence[Check]
    counts: Mapping[str, int]

    @property
    def exact(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The verdict as the closing summary shows it."""
        return {
            "exact": self.exact,
            "counts": dict(self.counts),
            "checks": {check.name: {"compared": check.compared, "different": check.different} for check in self.checks},
            "differences": [f"{check.name}: {text}" for check in self.checks for text in check.differences],
        }


class InputModel(Protocol):
    """What works out from the inputs of order_status what must follow."""

    def add_statuses(self, records: Iterable[Mapping[str, Any]]) -> None: ...

    def add_executions(self, records: Iterable[Mapping[str, Any]]) -> None: ...


def verify(
    log: Log,
    codec: Codec,
    fees: FeeTable,
    *,
    positions: Mapping[str, Mapping[str, int]] | None = None,
    dashboard: Mapping[str, Mapping[str, int]] | None = None,
    children: Mapping[str, Set[str]] | None = None,
    also: Sequence[InputModel] = (),
) -> Verdict:
    """Reads inputs and outputs up to the committed ends of now and judges; the flows must have caught up.

    `positions` are the rows of that view by accountId|symbol, `dashboard` those of the other by symbol|venue, summed
    over tumbling windows. Columns are named as in the views (`costBasis`, `tradedQuantity`). `children` are the keys of
    the children by that of their parent. Views left out are not judged. Other models of the inputs, `also`, are told of
    them in the same pass.

    `BrokenWorldError` if the log cannot be read.
    """
    truth, outputs = Truth(fees), Outputs()
    models: list[InputModel] = [truth, *also]
    for records in read_topic(log, codec, "orders.status"):
        outputs.add_statuses(records)
        for model in models:
            model.add_statuses(records)
    for records in read_topic(log, codec, "orders.executions"):
        for model in models:
            model.add_executions(records)
    for records in read_topic(log, codec, "orders.enrichment"):
        outputs.add_enriched(records)
    return judge(truth.expected, outputs, positions=positions, dashboard=dashboard, children=children)


def judge(
    expected: Expected,
    outputs: Outputs,
    *,
    positions: Mapping[str, Mapping[str, int]] | None = None,
    dashboard: Mapping[str, Mapping[str, int]] | None = None,
    children: Mapping[str, Set[str]] | None = None,
) -> Verdict:
    """Compares; see `verify` for the views."""
    own = {key: order for key, order in expected.orders.items() if not order.is_parent}
    answered = {key for key, order in own.items() if order.causes or all(final.code for final in order.finals)}
    maybe = {key for key, order in own.items() if any(final.code for final in order.finals)}
    filled = {key for key, order in own.items() if order.enriched}
    parents = expected.parents()
    checks = [
        _orders_present("consolidated orders", answered, outputs.consolidated, allowed=maybe),
        _orders_present("enriched orders", filled, outputs.enriched),
        _orders_present("consolidated parents", set(parents), outputs.parents, allowed=outputs.parents.keys()),
        _sequences(outputs),
        _causes(expected, outputs),
        _changes(outputs),
        *_final_statuses(expected, outputs),
        *_final_parents(parents, outputs, children),
        *_final_enrichment(expected, outputs),
    ]
    if positions is not None:
        checks += _view("position", {key: _with_cash(row) for key, row in positions.items()}, expected.positions())
    if dashboard is not None:
        rows, ends = _by_symbol(dashboard), outputs.ends_by_symbol()
        checks += [*_view("dashboard", rows, expected.dashboard()), *_view("dashboard", rows, ends)]
    counts = {
        "orders": len(expected.orders),
        "fills": sum(order.enriched for order in expected.orders.values()),
        "consolidated": sum(len(order.sequences) for order in outputs.consolidated.values()),
        "enriched": sum(len(order.sequences) for order in outputs.enriched.values()),
        "parents": len(parents),
        "children": sum(len(parent.children) for parent in parents.values()),
        "duplicate_inputs": expected.duplicates,
        "refused_inputs": expected.refused.total(),
    }
    return Verdict(checks, counts)


def _orders_present(
    name: str, expected: set[str], outputs: Mapping[str, OrderOutputs], *, allowed: Set[str] = frozenset()
) -> Check:
    check = Check(name, compared=len(expected | outputs.keys()))
    for key in expected - outputs.keys():
        check.fail(key, "has no output")
    for key in outputs.keys() - expected - allowed:
        check.fail(key, "has outputs without a cause")
    return check


def _sequences(outputs: Outputs) -> Check:
    """Per order: consolidated sequences are 1 to n, in order, once each; enrichment's rise and are among them."""
    check = Check("sequences without gaps, duplicates or disorder")
    check.compared = len(outputs.consolidated) + len(outputs.parents) + len(outputs.enriched)
    for key, order in (*outputs.consolidated.items(), *outputs.parents.items()):
        if order.sequences != list(range(1, len(order.sequences) + 1)):
            check.fail(key, f"consolidated sequences are {_shortened(order.sequences)}")
    for key, order in outputs.enriched.items():
        rising = all(before < after for before, after in pairwise(order.sequences))
        last = len(outputs.consolidated[key].sequences) if key in outputs.consolidated else 0
        if not rising or order.sequences[0] < 1 or order.sequences[-1] > last:
            check.fail(key, f"enriched sequences are {_shortened(order.sequences)}")
    return check


def _causes(expected: Expected, outputs: Outputs) -> Check:
    """Per order: each fill, bust and correction has its consolidated status, and no status is without an input."""
    check = Check("one consolidated status per fill", compared=len(expected.orders))
    for key, order in expected.orders.items():
        seen = outputs.consolidated[key].occurred_at if key in outputs.consolidated else Counter[int]()
        missing = order.causes - seen
        surplus = seen - order.causes - order.possible_causes
        if missing:
            check.fail(key, f"no status for the input at {min(missing)}")
        if surplus:
            check.fail(key, f"a status too many at {min(surplus)}")
    return check


def _changes(outputs: Outputs) -> Check:
    """Per order: every consolidated status shows something else than the one before, unless it has an enrichment.

    A correction may leave average and quantity as they are and change a fee.
    """
    check = Check("one consolidated status per visible change")
    for key, order in (*outputs.consolidated.items(), *outputs.parents.items()):
        check.compared += 1
        enriched = outputs.enriched[key].sequences if key in outputs.enriched else ()
        surplus = set(order.unchanged).difference(enriched)
        if surplus:
            check.fail(key, f"statuses {_shortened(sorted(surplus))} show nothing new")
    return check


def _final_statuses(expected: Expected, outputs: Outputs) -> list[Check]:
    checks = {name: Check(f"final {name}") for name in ("state", "filled quantity", "average price")}
    for key, order in expected.orders.items():
        last = outputs.consolidated[key].last if key in outputs.consolidated else None
        if last is None:
            continue
        status = last["status"]
        final = Final(status["code"], status["leavesQuantity"], last["order"]["quantity"])
        checks["state"].possible(key, final, order.finals)
        checks["filled quantity"].equal(key, status["filledQuantity"], order.filled)
        checks["average price"].equal(key, status["avgPrice"], order.average_price)
    return list(checks.values())


def _final_parents(
    parents: Mapping[str, ExpectedParent], outputs: Outputs, children: Mapping[str, Set[str]] | None
) -> list[Check]:
    checks = {name: Check(f"parent's {name}") for name in ("state", "filledQuantity", "avgPrice")}
    for key, expected in parents.items():
        last = outputs.parents[key].last if key in outputs.parents else None
        if last is None:
            continue
        status = last["status"]
        if expected.finals:
            final = Final(status["code"], status["leavesQuantity"], last["order"]["quantity"])
            checks["state"].possible(key, final, expected.finals)
        checks["filledQuantity"].equal(key, status["filledQuantity"], expected.filled)
        checks["avgPrice"].equal(key, status["avgPrice"], expected.average_price)
    if children is None:
        return list(checks.values())
    view = Check("children of a parent")
    for key in parents.keys() | children.keys():
        expected_keys = parents[key].children if key in parents else frozenset[str]()
        view.equal(key, sorted(children.get(key, ())), sorted(expected_keys))
    return [*checks.values(), view]


def _final_enrichment(expected: Expected, outputs: Outputs) -> list[Check]:
    checks = {name: Check(name) for name in ("enriched events", "notional", "total fees", "fee increments")}
    for key, order in expected.orders.items():
        seen = outputs.enriched.get(key)
        checks["enriched events"].equal(key, len(seen.sequences) if seen else 0, order.enriched)
        if seen is None or seen.last is None:
            continue
        checks["notional"].equal(key, seen.last["notional"], order.notional)
        checks["total fees"].equal(key, seen.last["totalFees"], order.fees)
        checks["fee increments"].equal(key, outputs.fee_increments[key], order.fees)
    return list(checks.values())


def _with_cash(row: Mapping[str, int]) -> dict[str, int]:
    """Cash is what was realised minus what the open position cost: at any mark both sides of the equation agree."""
    return {**row, "cash": row["realised"] - row["costBasis"]}


def _by_symbol(rows: Mapping[str, Mapping[str, int]]) -> dict[str, Counter[str]]:
    """Dashboard rows summed over venues, with the open orders that follow from them."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for key, row in rows.items():
        total = sums[key.split("|", 1)[0]]
        ends = [code.lower() for code in ENDS]
        for column in ("orders", "fills", "tradedQuantity", "tradedNotional", *ends):
            total[column] += row[column]
        over = sum(row[column] for column in ends) + row["done"]
        total["open"] += row["orders"] + row["reopened"] - over
    return dict(sums)


def _view(
    name: str, rows: Mapping[str, Mapping[str, int]], expected: Mapping[str, Mapping[str, int]]
) -> Iterator[Check]:
    """One check per column of what is expected; a row that is missing on one side counts as zeros."""
    for column in sorted({column for row in expected.values() for column in row}):
        check = Check(f"{name} {column}")
        for key in expected.keys() | rows.keys():
            check.equal(key, rows.get(key, {}).get(column, 0), expected.get(key, {}).get(column, 0))
        yield check


def _shortened(sequences: Sequence[int]) -> str:
    shown = ", ".join(map(str, sequences[:10]))
    return f"{shown}, ... ({len(sequences)} in all)" if len(sequences) > 10 else shown
