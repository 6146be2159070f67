"""What the flow makes of the workload of many keys, checked output by output with a few bytes of memory per order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bench.key_workload import FILL_QUANTITY, Terms
from bench.peers.harness import cluster, wire
from bench.peers.harness.workload import LIQUIDITY, SIDES, Ints

_SHOWN_MAX: Final = 5
_BEFORE_NEW, _AFTER_NEW = 1, 2
"""What an output's sequence is ahead of its fill's ordinal, before and after the order's status NEW was seen."""


class KeyLedger:
    """Remembers how many fills of each order came out, and in which sequence; outputs must come in the order's order.

    A fill that comes twice, is left out, comes before an earlier one, or tells other sums than those of all fills of
    its order up to it, is a `RuntimeError` that names the order and what was due.
    """

    def __init__(self, keys_max: int) -> None:
        self._fills = np.zeros(keys_max, dtype=np.int32)
        self._sequence = np.zeros(keys_max, dtype=np.int32)

    def take(self, values: Sequence[bytes]) -> None:
        """Checks the next outputs, in the order in which a consumer got them."""
        if not values:
            return
        batch = wire.decode(values, cluster.ENRICHMENT)
        order = wire.order_numbers(batch)
        sequence = wire.ints(batch.column("sequence"))
        ordinal, sequence_before, newest = self._place(order, sequence)
        exec_id = batch.column("lastExecId").to_pylist()
        told = np.array([int(text[1:]) if text else -1 for text in exec_id], dtype=np.int64)
        self._compare("lastExecId of fill number", order, told, ordinal)
        for name, due in _sums(order, ordinal).items():
            self._compare(name, order, wire.ints(batch.column(name)), due)
        ahead = sequence - ordinal
        fits = (sequence > sequence_before) & ((ahead == _BEFORE_NEW) | (ahead == _AFTER_NEW))
        self._compare("sequence", order, sequence, np.where(fits, sequence, ordinal + _AFTER_NEW))
        self._fills[order[newest]] = ordinal[newest] + 1
        self._sequence[order[newest]] = sequence[newest]

    def check_whole(self, fills: Ints) -> None:
        """Compares with the number of fills sent for each order: all came out."""
        order = np.arange(len(fills))
        self._compare("number of fills", order, self._fills[: len(fills)].astype(np.int64), fills)

    def _place(self, order: Ints, sequence: Ints) -> tuple[Ints, Ints, Ints]:
        """Per output which fill of its order it must be and the sequence before it; and each order's last output."""
        by = np.argsort(order, kind="stable")
        sorted_order, at = order[by], np.arange(len(order))
        first = np.append(True, sorted_order[1:] != sorted_order[:-1])
        start = np.maximum.accumulate(np.where(first, at, 0))
        sorted_sequence = sequence[by]
        ordinal, before = np.empty_like(order), np.empty_like(order)
        ordinal[by] = self._fills[sorted_order] + at - start
        before[by] = np.where(first, self._sequence[sorted_order], np.roll(sorted_sequence, 1))
        return ordinal, before, by[np.append(first[1:], True)]

    @staticmethod
    def _compare(what: str, order: Ints, told: Ints, due: Ints) -> None:
        wrong = np.flatnonzero(told != due)
        if len(wrong):
            shown = [f"order {order[i]:,}: {told[i]:,}, due {due[i]:,}" for i in wrong[:_SHOWN_MAX].tolist()]
            raise RuntimeError(f"{len(wrong):,} outputs are wrong in their {what}: {'; '.join(shown)}")


def _sums(order: Ints, ordinal: Ints) -> dict[str, Ints]:
    """Columns of the output that tells of an order's fill `ordinal`, all of its fills being alike but in liquidity."""
    terms = Terms.of(order)
    count = ordinal + 1
    filled = count * FILL_QUANTITY
    notional = filled * terms.arrival
    commission = np.minimum(np.maximum(1_000_000, 5_000 * filled), notional // 100)
    regulatory = min(195 * FILL_QUANTITY, 9_790_000) + FILL_QUANTITY * terms.arrival * 206 // 10_000_000
    rates = np.array((-2_000, 3_000, 0))
    venue = _cycled_sum(rates, count) * FILL_QUANTITY
    return {
        "filledQuantity": filled,
        "notional": notional,
        "avgPrice": terms.arrival,
        "lastQuantity": np.full_like(count, FILL_QUANTITY),
        "lastPrice": terms.arrival,
        "totalFees": commission + np.where(terms.side != SIDES.index("BUY"), regulatory * count, 0) + venue,
    }


def _cycled_sum(rates: Ints, count: Ints) -> Ints:
    """The sum of the first `count` of the rates, which are repeated without end."""
    assert len(rates) == len(LIQUIDITY)
    whole, part = np.divmod(count, len(rates))
    sums: Ints = whole * rates.sum() + np.append(0, np.cumsum(rates))[part]
    return sums
