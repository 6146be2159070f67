"""The verdict: what a job wrote is exactly what the workload asks for, or which check it fails."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import cluster, wire
from .workload import BASE_MICROS, Expected, Ints

CHUNK = 200_000


def verify(known: Expected, enriched: list[bytes], consolidated: list[bytes]) -> dict[str, Any]:
    """Named checks, all of which must hold, and facts worth knowing."""
    enriched_checks, facts = _verify_enriched(known, enriched)
    checks = {**enriched_checks, **_verify_consolidated(known, consolidated)}
    return {"correct": all(checks.values()), "checks": checks, **facts}


def _verify_enriched(known: Expected, values: list[bytes]) -> tuple[dict[str, bool], dict[str, Any]]:
    names = ("filledQuantity", "notional", "totalFees", "sequence", "occurredAt", "avgPrice")
    columns: dict[str, list[Ints]] = {name: [] for name in ("order", *names)}
    fee_sum = with_slippage = 0
    for start in range(0, len(values), CHUNK):
        batch = wire.decode(values[start : start + CHUNK], cluster.ENRICHMENT)
        columns["order"].append(wire.order_numbers(batch))
        for name in names:
            columns[name].append(wire.ints(batch.column(name)))
        fee_sum += int(wire.ints(batch.column("fees").flatten().field("amount")).sum())
        with_slippage += len(values[start : start + CHUNK]) - batch.column("slippageBps").null_count
    every = {name: _join(parts) for name, parts in columns.items()}
    order, last, distinct = _final(every["order"], every["sequence"])
    final = {name: every[name][last] for name in names}
    want = np.flatnonzero(known.enriched)
    same_orders = np.array_equal(order, want)
    checks = {
        "enriched_count": len(values) == int(known.enriched.sum()),
        "enriched_no_duplicates": distinct,
        "enriched_count_per_order": np.array_equal(
            np.bincount(every["order"], minlength=len(known.enriched)), known.enriched
        ),
        "filled_per_order": same_orders and np.array_equal(final["filledQuantity"], known.filled[want]),
        "notional_per_order": same_orders and np.array_equal(final["notional"], known.notional[want]),
        "total_fees_per_order": same_orders and np.array_equal(final["totalFees"], known.fees[want]),
        "fee_increments_sum": fee_sum == int(known.fees.sum()),
        "average_prices": np.array_equal(every["avgPrice"], every["notional"] // every["filledQuantity"]),
        "enriched_occurred_at": int((every["occurredAt"] - BASE_MICROS).sum()) == known.enriched_time,
    }
    facts = {
        "enriched_visible": len(values),
        "with_slippage_share": round(with_slippage / max(1, len(values)), 4),
    }
    return checks, facts


def _verify_consolidated(known: Expected, values: list[bytes]) -> dict[str, bool]:
    order_parts, sequence_parts, filled_parts, time_parts = [], [], [], []
    codes: list[str] = []
    leaves_parts: list[Ints] = []
    own = True
    for start in range(0, len(values), CHUNK):
        batch = wire.decode(values[start : start + CHUNK], cluster.STATUS)
        own = own and batch.column("eventType").unique().to_pylist() == ["ORDER_STATUS_CONSOLIDATED"]
        order_parts.append(wire.order_numbers(batch))
        sequence_parts.append(wire.ints(batch.column("sequence")))
        filled_parts.append(wire.ints(batch.column("status").field("filledQuantity")))
        time_parts.append(wire.ints(batch.column("occurredAt")))
        # A missing leavesQuantity counts as wrong.
        leaves_parts.append(wire.ints(batch.column("status").field("leavesQuantity").fill_null(-1)))
        codes.extend(batch.column("status").field("code").to_pylist())
    every, sequence = _join(order_parts), _join(sequence_parts)
    order, last, distinct = _final(every, sequence)
    whole = np.array_equal(order, np.arange(len(known.filled)))
    code = np.array(codes)[last]
    leaves = _join(leaves_parts)
    want_code = np.where(known.canceled, "CANCELED", "FILLED")
    return {
        "consolidated_count": len(values) == int(known.consolidated.sum()),
        "consolidated_only": own,
        "consolidated_no_duplicates": distinct,
        "consolidated_sequence_without_gaps": whole and np.array_equal(sequence[last], known.consolidated),
        "consolidated_filled_per_order": whole and np.array_equal(_join(filled_parts)[last], known.filled),
        "consolidated_code_per_order": whole and np.array_equal(code, want_code),
        "consolidated_leaves": whole and bool(np.all(leaves >= 0)) and not np.any(leaves[last]),
        "consolidated_occurred_at": int((_join(time_parts) - BASE_MICROS).sum()) == known.consolidated_time,
    }


def _join(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _final(order: Ints, sequence: Ints) -> tuple[Ints, Ints, bool]:
    """The orders present, where each one's highest sequence stands, and whether none repeats one."""
    by = np.lexsort((sequence, order))
    sorted_order, sorted_sequence = order[by], sequence[by]
    same = sorted_order[1:] == sorted_order[:-1]
    distinct = not bool(np.any(same & (sorted_sequence[1:] == sorted_sequence[:-1])))
    ends = np.append(~same, True)[: len(order)]
    return sorted_order[ends], by[ends], distinct
