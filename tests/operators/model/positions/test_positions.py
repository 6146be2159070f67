"""Positions from enrichment: average cost, FIFO, busts and corrections as if they had never been, splits."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.events import Fee, OrderEnriched
from operators.model.positions.fill_list import CHUNK
from operators.model.positions.positions import (
    NO_RATIO,
    NOT_REDERIVED,
    BookingRules,
    Position,
    on_enriched,
    position_key,
)

DOLLAR = 1_000_000


def fill(quantity: int, price: int | None, *, side: str = "BUY", **fields: Any) -> OrderEnriched:
    values: dict[str, Any] = {
        "event_type": "ORDER_ENRICHED",
        "occurred_at": 1,
        "key": "ACC1|ORD1",
        "sequence": 1,
        "source": "test",
        "symbol": "MSFT",
        "side": side,
        "filled_quantity": max(quantity, 0),
        "last_quantity": quantity,
        "last_price": price,
    }
    return OrderEnriched(**(values | fields))


class Keeper:
    """A position with what lies beside it, as the engine keeps them: stored and read back after every event."""

    def __init__(self, rules: BookingRules | None = None, state: Position | None = None) -> None:
        self.state, self.rules = state, rules or BookingRules()
        self.entries: dict[str, bytes] = {}
        self.anomalies: list[str] = []
        self.reads = 0

    def read(self, suffix: str) -> bytes | None:
        self.reads += 1
        return self.entries.get(suffix)

    def take(self, *events: OrderEnriched) -> Position:
        for event in events:
            booked = on_enriched(self.state, event, self.read, self.rules)
            stored = msgspec.msgpack.encode(booked.position)
            self.state = msgspec.msgpack.decode(stored, type=Position | None)
            for suffix, value in booked.entries.items():
                if value is None:
                    del self.entries[suffix]
                else:
                    self.entries[suffix] = value
            self.anomalies += booked.anomalies
        assert self.state is not None
        return self.state


def position_of(*fills: OrderEnriched) -> Position:
    return Keeper().take(*fills)


def trade(
    number: int, quantity: int, price: int, *, side: str = "BUY", order: str = "O1", **fields: Any
) -> OrderEnriched:
    """A fill of an order with an execution id of its own."""
    return fill(quantity, price, side=side, key=f"ACC1|{order}", last_exec_id=f"E{number}", trade_date=100, **fields)


def bust(event: OrderEnriched, *, quantity: int | None = None, **fields: Any) -> OrderEnriched:
    """Takes a fill back, by default for what it was."""
    quantity = event.last_quantity if quantity is None else quantity
    values: dict[str, Any] = {
        "exec_type": "TRADE_CANCEL", "exec_ref_id": event.last_exec_id, "last_exec_id": f"bust {event.last_exec_id}",
        "last_quantity": -quantity, "replaced_quantity": quantity, "replaced_price": event.last_price, "fees": [],
    }  # fmt: skip
    return msgspec.structs.replace(event, **(values | fields))


def correct(event: OrderEnriched, quantity: int, price: int, **fields: Any) -> OrderEnriched:
    """Corrects a fill to another quantity and price."""
    values: dict[str, Any] = {
        "exec_type": "TRADE_CORRECT", "exec_ref_id": event.last_exec_id, "last_exec_id": f"{event.last_exec_id}c",
        "last_quantity": quantity - event.last_quantity, "last_price": price,
        "replaced_quantity": event.last_quantity, "replaced_price": event.last_price, "fees": [],
    }  # fmt: skip
    return msgspec.structs.replace(event, **(values | fields))


def split(change: int, filled_before: int, *, side: str = "BUY", order: str = "O1") -> OrderEnriched:
    """An order restated for a split: its filled quantity changes."""
    return fill(
        change,
        None,
        side=side,
        key=f"ACC1|{order}",
        exec_type="RESTATED",
        replaced_quantity=filled_before,
        trade_date=101,
    )


def figures(position: Position) -> dict[str, Any]:
    """Everything that people see but the time."""
    hidden = {"fills", "head", "head_quantity", "head_basis", "updated_at"}
    return {name: getattr(position, name) for name in position.__struct_fields__ if name not in hidden}


def history(seed: int, count: int) -> list[OrderEnriched]:
    """Fills of some orders on both sides that go through zero now and then."""
    chance = random.Random(seed)
    return [
        trade(
            number, chance.randint(1, 500), chance.randint(1, 10**8), side=chance.choice(["BUY", "SELL"]),
            order=f"O{chance.randint(1, 5)}",
        )
        for number in range(count)
    ]  # fmt: skip


def cash_of(events: list[OrderEnriched]) -> int:
    return -sum(e.last_quantity * (e.last_price or 0) * (1 if e.side == "BUY" else -1) for e in events)


def fifo_of(events: list[OrderEnriched]) -> tuple[int, int]:
    """Realised and cost basis by FIFO, with a queue of lots."""
    lots: deque[list[int]] = deque()
    realised = 0
    for event in events:
        sign = 1 if event.side == "BUY" else -1
        left, notional = event.last_quantity, event.last_quantity * (event.last_price or 0)
        closed = min(left, sum(lot[1] for lot in lots if lot[0] != sign))
        proceeds = notional * closed // left
        left, rest, given_up = left - closed, notional - proceeds, 0
        while closed:
            lot = lots[0]
            taken = min(closed, lot[1])
            share = lot[2] * taken // lot[1]
            lot[1], lot[2], closed, given_up = lot[1] - taken, lot[2] - share, closed - taken, given_up + share
            if not lot[1]:
                lots.popleft()
        realised -= sign * (proceeds - given_up) if proceeds or given_up else 0
        if left:
            lots.append([sign, left, rest])
    return realised, sum(sign * basis for sign, _, basis in lots)


sides = st.sampled_from(["BUY", "SELL", "SELL_SHORT", "SELL_SHORT_EXEMPT"])
fills = st.lists(
    st.builds(
        lambda quantity, price, side: fill(quantity, price, side=side),
        st.integers(-1000, 1000).filter(bool),
        st.integers(1, 10**9),
        sides,
    ),
    min_size=1,
    max_size=40,
)


@given(fills, st.integers(1, 10**9))
def test_realised_plus_unrealised_is_cash_plus_position_at_the_mark(events: list[OrderEnriched], mark: int) -> None:
    position = position_of(*events)
    signed = [event.last_quantity * (1 if event.side == "BUY" else -1) for event in events]
    cash = -sum(quantity * (event.last_price or 0) for quantity, event in zip(signed, events, strict=True))
    assert position.quantity == sum(signed)
    assert position.realised + position.unrealised(mark) == cash + sum(signed) * mark
    assert position.fifo_realised + position.fifo_unrealised(mark) == cash + sum(signed) * mark


@given(fills)
def test_the_cost_basis_has_the_sign_of_the_quantity_and_is_zero_when_flat(events: list[OrderEnriched]) -> None:
    position = position_of(*events)
    assert position.cost_basis * position.quantity >= 0
    if position.quantity == 0:
        assert position.cost_basis == 0
        assert position.fifo_cost_basis == 0
        assert position.fifo_realised == position.realised
        assert position.average_cost is None


def test_buying_averages_the_cost() -> None:
    position = position_of(fill(100, 10 * DOLLAR), fill(300, 20 * DOLLAR))
    assert (position.quantity, position.average_cost, position.realised) == (400, 17_500_000, 0)


def test_selling_part_keeps_the_average_cost_and_realises_the_difference() -> None:
    position = position_of(fill(400, 10 * DOLLAR), fill(100, 12 * DOLLAR, side="SELL"))
    assert (position.quantity, position.average_cost, position.realised) == (300, 10 * DOLLAR, 200 * DOLLAR)


def test_a_short_is_negative_and_gains_when_bought_back_cheaper() -> None:
    short = position_of(fill(100, 10 * DOLLAR, side="SELL_SHORT"))
    assert (short.quantity, short.cost_basis, short.unrealised(9 * DOLLAR)) == (-100, -1000 * DOLLAR, 100 * DOLLAR)
    flat = position_of(fill(100, 10 * DOLLAR, side="SELL_SHORT"), fill(100, 9 * DOLLAR))
    assert (flat.quantity, flat.cost_basis, flat.realised) == (0, 0, 100 * DOLLAR)


def test_a_flip_through_zero_realises_the_whole_and_opens_the_rest_at_its_price() -> None:
    position = position_of(fill(100, 10 * DOLLAR), fill(150, 12 * DOLLAR, side="SELL"))
    assert (position.quantity, position.average_cost, position.realised) == (-50, 12 * DOLLAR, 200 * DOLLAR)


def test_a_bust_takes_back_quantity_volume_and_cash() -> None:
    position = position_of(fill(100, 10 * DOLLAR), fill(-100, 10 * DOLLAR))
    assert (position.quantity, position.cost_basis, position.realised) == (0, 0, 0)
    assert (position.traded_quantity, position.traded_notional) == (0, 0)


def test_fees_add_up_beside_realised() -> None:
    charged = fill(10, DOLLAR, fees=[Fee("COMMISSION", 500), Fee("VENUE", -20)])
    assert position_of(charged, charged).fees == 960


def test_an_event_without_a_fill_changes_nothing() -> None:
    assert on_enriched(None, fill(0, None), {}.get).position is None
    known = position_of(fill(1, DOLLAR))
    assert on_enriched(known, fill(0, None), {}.get).position is known


def test_the_last_price_is_that_of_the_last_fill_and_time_never_goes_back() -> None:
    position = position_of(fill(1, 5, occurred_at=9), fill(1, 6, occurred_at=3))
    assert (position.last_price, position.updated_at) == (6, 9)


@pytest.mark.parametrize(
    "event",
    [
        fill(1, None),
        fill(1, 0),
        fill(1, -1),
        fill(1, 1, side="HOLD"),
        fill(2**62, 2**62),
        fill(1, 1, key="no order key"),
    ],
    ids=["no price", "price zero", "negative price", "unknown side", "too large", "bad key"],
)
def test_a_fill_no_rule_can_work_with_is_refused(event: OrderEnriched) -> None:
    with pytest.raises(InvalidRecordError):
        on_enriched(None, event, {}.get)


def test_a_position_survives_msgpack() -> None:
    position = position_of(fill(3, 7 * DOLLAR))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(position), type=Position) == position


def test_positions_of_one_account_share_a_prefix() -> None:
    assert position_key("ACC1", "MSFT") == "ACC1|MSFT"


LENGTHS = [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 3, 200]


@pytest.mark.parametrize("count", LENGTHS)
def test_fifo_is_what_a_queue_of_lots_gives(count: int) -> None:
    events = history(count, count)
    position = position_of(*events)
    assert (position.fifo_realised, position.fifo_cost_basis) == fifo_of(events)


def test_fifo_closes_the_oldest_lot_first() -> None:
    """Bought 100 at 10 and 100 at 20, sold 150 at 30: FIFO realises 2,500, average cost 2,250."""
    position = position_of(fill(100, 10 * DOLLAR), fill(100, 20 * DOLLAR), fill(150, 30 * DOLLAR, side="SELL"))
    assert (position.fifo_realised, position.fifo_cost_basis) == (2_500 * DOLLAR, 1_000 * DOLLAR)
    assert (position.realised, position.cost_basis) == (2_250 * DOLLAR, 750 * DOLLAR)
    assert position.fifo_unrealised(30 * DOLLAR) == 500 * DOLLAR


@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("method", ["bust", "correct", "correct twice", "correct then bust"])
def test_a_bust_or_correction_gives_what_would_be_without_the_mistake(count: int, method: str) -> None:
    """For fills at every age: in the state, in the newest chunk, in the first, with fills after the bust."""
    chance = random.Random(count)
    for at in {0, count // 2, count - 1, *(chance.randrange(count) for _ in range(5))}:
        events = history(count + at, count)
        wrong, later = events[at], history(at, 3)
        right = correct(wrong, 77, 5 * DOLLAR)
        takes_back = {
            "bust": [bust(wrong)],
            "correct": [right],
            "correct twice": [right, correct(msgspec.structs.replace(right, last_quantity=77), 78, 6 * DOLLAR)],
            "correct then bust": [right, bust(msgspec.structs.replace(right, last_quantity=77))],
        }[method]
        instead = {
            "bust": [],
            "correct": [msgspec.structs.replace(wrong, last_quantity=77, last_price=5 * DOLLAR)],
            "correct twice": [msgspec.structs.replace(wrong, last_quantity=78, last_price=6 * DOLLAR)],
            "correct then bust": [],
        }[method]
        with_mistake, without = Keeper(), Keeper()
        with_mistake.take(*events, *takes_back, *later)
        expected = without.take(*events[:at], *instead, *events[at + 1 :], *later)
        assert with_mistake.state is not None
        assert figures(with_mistake.state) == figures(expected)
        assert with_mistake.anomalies == []
        assert with_mistake.entries == without.entries or method != "bust"
        # What follows is the same as well: the lists are equal, not only the figures.
        more = history(at + 1, 40)
        assert figures(with_mistake.take(*more)) == figures(without.take(*more))


def test_a_price_alone_can_be_corrected() -> None:
    wrong = trade(1, 100, 10 * DOLLAR)
    position = position_of(wrong, trade(2, 100, 12 * DOLLAR, side="SELL"), correct(wrong, 100, 11 * DOLLAR))
    assert (position.realised, position.traded_notional) == (100 * DOLLAR, 2_300 * DOLLAR)


def test_the_fees_of_a_bust_are_those_that_its_event_gives_back() -> None:
    charged = trade(1, 100, DOLLAR, fees=[Fee("COMMISSION", 500)])
    assert position_of(charged, bust(charged, fees=[Fee("COMMISSION", -500)])).fees == 0


def test_an_execution_id_that_a_venue_used_twice_is_told_apart_by_size() -> None:
    first, second = trade(1, 100, 10 * DOLLAR), trade(1, 50, 20 * DOLLAR)
    assert figures(position_of(first, second, bust(first))) == figures(position_of(second))
    assert figures(position_of(first, second, bust(second))) == figures(position_of(first))


def test_the_same_execution_id_of_two_orders_is_told_apart() -> None:
    mine, other = trade(1, 100, 10 * DOLLAR), trade(1, 100, 10 * DOLLAR, side="SELL", order="O2")
    position = position_of(mine, other, bust(other))
    assert (position.quantity, position.realised) == (100, 0)


def test_a_bust_of_an_unknown_fill_is_booked_as_its_opposite_and_counted() -> None:
    keeper = Keeper()
    keeper.take(trade(1, 100, 10 * DOLLAR), bust(trade(9, 40, 11 * DOLLAR)))
    assert keeper.state is not None
    assert (keeper.state.quantity, keeper.anomalies) == (60, [NOT_REDERIVED])
    assert keeper.state.realised - keeper.state.cost_basis == -560 * DOLLAR
    corrected = Keeper()
    corrected.take(trade(1, 100, 10 * DOLLAR), correct(trade(9, 40, 11 * DOLLAR), 50, 12 * DOLLAR))
    assert corrected.state is not None
    assert corrected.state.quantity == 110
    assert corrected.state.realised - corrected.state.cost_basis == -(1_000 + 600 - 440) * DOLLAR


def test_an_execution_cannot_shrink_below_zero() -> None:
    with pytest.raises(InvalidRecordError, match="cannot become"):
        position_of(trade(1, 100, DOLLAR), bust(trade(1, 100, DOLLAR), last_quantity=-101))


def test_a_split_changes_the_quantity_and_not_the_cost() -> None:
    """100 at 10 become 200 at 5; lots under FIFO keep their proportions; the last price follows."""
    position = position_of(trade(1, 100, 10 * DOLLAR), trade(2, 50, 16 * DOLLAR), split(150, 150))
    assert (position.quantity, position.average_cost, position.last_price) == (300, 6 * DOLLAR, 8 * DOLLAR)
    keeper = Keeper()
    sold = keeper.take(
        trade(1, 100, 10 * DOLLAR),
        trade(2, 50, 16 * DOLLAR),
        split(150, 150),
        trade(3, 250, 8 * DOLLAR, side="SELL", order="O2"),
    )
    assert (sold.fifo_realised, sold.fifo_cost_basis) == ((2_000 - 1_400) * DOLLAR, 400 * DOLLAR)
    assert (sold.realised, sold.cost_basis) == ((2_000 - 1_500) * DOLLAR, 300 * DOLLAR)


def test_a_reverse_split_makes_one_lot_of_those_that_vanish() -> None:
    tiny = [trade(number, 1, (number + 1) * DOLLAR) for number in range(20)]
    position = position_of(*tiny, split(-18, 20))
    assert (position.quantity, position.cost_basis, position.fifo_cost_basis) == (2, 210 * DOLLAR, 210 * DOLLAR)
    first = position_of(*tiny, split(-18, 20), trade(99, 1, 100 * DOLLAR, side="SELL"))
    assert first.fifo_realised == (100 - 55) * DOLLAR


def test_a_bust_of_a_fill_before_a_split_takes_back_what_it_counts_as_since() -> None:
    """Busted for its adjusted quantity or for its original one: as if the split had been of the other fill alone."""
    wrong, kept = trade(1, 100, 10 * DOLLAR), trade(2, 50, 16 * DOLLAR)
    expected = figures(position_of(kept, split(50, 50)))
    found = position_of(wrong, kept, split(150, 150), bust(wrong, quantity=200, replaced_price=5 * DOLLAR))
    assert figures(found) == expected


def test_a_correction_of_a_fill_before_a_split_keeps_what_the_reports_say_is_filled() -> None:
    """200 of the 300 after the split become 180 at 5.50: 280 are left, and what was paid is 800 + 990."""
    wrong, kept = trade(1, 100, 10 * DOLLAR), trade(2, 50, 16 * DOLLAR)
    event = correct(wrong, 180, 5_500_000, replaced_quantity=200, replaced_price=5 * DOLLAR, last_quantity=-20)
    position = position_of(wrong, kept, split(150, 150), event)
    assert (position.quantity, position.cost_basis, position.fifo_cost_basis) == (280, 1_790 * DOLLAR, 1_790 * DOLLAR)


def test_a_flat_account_stays_flat_when_its_open_orders_split() -> None:
    """Bought 20 on one order and sold 20 on another, both open, split 2:1: in either order of the reports."""
    bought, sold = trade(1, 20, 10 * DOLLAR), trade(2, 20, 11 * DOLLAR, side="SELL", order="O2")
    reports = [split(20, 20), split(20, 20, side="SELL", order="O2")]
    for first, second in (reports, reports[::-1]):
        position = position_of(bought, sold, first, second)
        assert (position.quantity, position.cost_basis, position.fifo_cost_basis) == (0, 0, 0)
        assert (position.realised, position.fifo_realised) == (20 * DOLLAR, 20 * DOLLAR)
    busted = position_of(bought, sold, *reports, bust(sold, quantity=40, replaced_price=5_500_000))
    assert (busted.quantity, busted.cost_basis, busted.realised) == (40, 200 * DOLLAR, 0)


def test_a_split_is_of_the_whole_holding_and_booked_once() -> None:
    """Of 300 in three orders one is closed, so that two are restated; a fill of the old day was sold since."""
    fills = [trade(1, 100, 10 * DOLLAR), trade(2, 150, 10 * DOLLAR, order="O2"), trade(3, 60, 10 * DOLLAR, order="O3")]
    sold = trade(4, 10, 12 * DOLLAR, side="SELL", order="O4")
    position = position_of(*fills, sold, split(100, 100), split(60, 60, order="O3"))
    assert (position.quantity, position.cost_basis, position.realised) == (600, 3_000 * DOLLAR, 20 * DOLLAR)
    without = position_of(*fills, sold, split(100, 100), split(60, 60, order="O3"), bust(fills[1]))
    assert (without.quantity, without.cost_basis) == (300, 1_500 * DOLLAR)


def test_the_ratio_of_a_split_is_that_of_the_largest_report() -> None:
    """3 for 2: 7 became 10, 100 became 150, and 9 became 13. Most is held of orders that are closed."""
    keeper = Keeper()
    keeper.take(*(trade(number, 100, 10 * DOLLAR, order="O9") for number in range(CHUNK)))
    assert keeper.take(split(3, 7)).quantity == CHUNK * 1_000 // 7
    for report in (split(50, 100, order="O2"), split(4, 9, order="O3")):
        assert keeper.take(report, trade(99, 1, DOLLAR), bust(trade(99, 1, DOLLAR))).quantity == CHUNK * 150
    assert keeper.state is not None
    assert keeper.state.cost_basis == keeper.state.fifo_cost_basis == CHUNK * 1_000 * DOLLAR


@pytest.mark.parametrize("count", [1, CHUNK, 3 * CHUNK])
def test_fills_of_the_day_of_a_split_that_came_before_it_are_of_new_units(count: int) -> None:
    today = [msgspec.structs.replace(event, trade_date=101) for event in history(count, count)]
    early, late, old = Keeper(), Keeper(), trade(1_000, 100, 10 * DOLLAR, order="O9")
    expected = early.take(old, split(100, 100), *today)
    assert figures(late.take(old, *today, split(100, 100))) == figures(expected)
    assert figures(late.take(*history(7, 40))) == figures(early.take(*history(7, 40)))


def test_a_split_that_leaves_nothing_of_an_order_tells_no_ratio() -> None:
    keeper = Keeper()
    assert keeper.take(trade(1, 3, DOLLAR), trade(2, 97, DOLLAR, order="O2"), split(-3, 3)).quantity == 100
    assert keeper.anomalies == [NO_RATIO]
    assert keeper.take(split(-90, 97, order="O2")).quantity == 7
    with pytest.raises(InvalidRecordError, match="a split cannot make"):
        keeper.take(split(1, 0))


def test_a_holding_of_less_than_one_new_unit_is_given_up() -> None:
    position = position_of(trade(1, 1, 7 * DOLLAR), split(-9, 10, order="O2"))
    assert (position.quantity, position.cost_basis, position.realised) == (0, 0, -7 * DOLLAR)
    assert (position.fifo_cost_basis, position.fifo_realised) == (0, -7 * DOLLAR)


@pytest.mark.parametrize("seed", range(30))
def test_cash_and_quantity_are_exact_whatever_was_busted_corrected_and_split(seed: int) -> None:
    """Quantity is what the live fills give with the splits between them, cash that of the live fills."""
    chance = random.Random(seed)
    keeper, day = Keeper(), 100
    happened = list[OrderEnriched]()
    for number, event in enumerate(history(seed, 120)):
        kind, live = chance.choice(["trade"] * 6 + ["bust", "correct", "split"]), [e for e in happened if e.last_price]
        event = msgspec.structs.replace(event, last_exec_id=f"N{number}", trade_date=day)
        if kind == "split":
            day += 1
            event = msgspec.structs.replace(split(chance.choice([100, 50, 33, -50, -90]), 100), trade_date=day)
            happened.append(event)
        elif kind in ("bust", "correct") and live:
            victim = chance.choice(live)
            at = happened.index(victim)
            if kind == "bust":
                event = bust(victim)
                del happened[at]
            else:
                event = correct(victim, chance.randint(1, 500), chance.randint(1, 10**8))
                right = msgspec.structs.replace(event, last_quantity=victim.last_quantity + event.last_quantity)
                happened[at] = right
        else:
            happened.append(event)
        position = keeper.take(event)
        assert position.quantity == held(happened)
        assert position.cost_basis * position.quantity >= 0
        assert position.fifo_cost_basis * position.quantity >= 0
        cash = cash_of([e for e in happened if e.last_price])
        assert position.realised - position.cost_basis == cash
        assert position.fifo_realised - position.fifo_cost_basis == cash
        assert position.quantity or position.realised == position.fifo_realised
    assert keeper.anomalies == []


def held(happened: list[OrderEnriched]) -> int:
    """What fills and splits leave, one after the other."""
    quantity = 0
    for event in happened:
        if event.last_price:
            quantity += event.last_quantity * (1 if event.side == "BUY" else -1)
        else:
            old, sign = event.replaced_quantity, 1 if quantity > 0 else -1
            quantity = sign * (abs(quantity) * (old + event.last_quantity) // old)
    return quantity


def test_fees_inside_make_the_realised_result_net() -> None:
    keeper = Keeper(BookingRules(fees_inside=True))
    position = keeper.take(fill(10, DOLLAR, fees=[Fee("COMMISSION", 500)]), fill(10, 2 * DOLLAR, side="SELL"))
    assert (position.realised, position.net_realised, position.net_fifo_realised) == (10_000_000, 9_999_500, 9_999_500)
    beside = position_of(fill(10, DOLLAR, fees=[Fee("COMMISSION", 500)]))
    assert (beside.net_realised, beside.fees) == (0, 500)


@pytest.mark.parametrize("sides", [["BUY"], ["BUY", "SELL"], ["BUY"] * 500 + ["SELL"] * 500])
def test_a_position_with_thousands_of_fills_costs_no_more_per_fill_than_one_with_three(sides: list[str]) -> None:
    """Neither its state nor what it reads back grows: bought only, to and fro, lots far behind."""
    keeper = Keeper()
    for number in range(3_000):
        before = keeper.reads
        keeper.take(trade(number, 10, DOLLAR, side=sides[number % len(sides)]))
        assert keeper.reads - before <= 2
        assert len(msgspec.msgpack.encode(keeper.state)) < 1_200
    assert len(keeper.entries) == 3_000 // CHUNK - (3_000 % CHUNK == 0)


def test_fills_that_are_too_old_to_be_busted_are_let_go_but_not_open_lots() -> None:
    rules = BookingRules(keep_days=5)
    to_and_fro, only_bought = Keeper(rules), Keeper(rules)
    for number in range(10 * CHUNK):
        day, side = number // 8, "BUY" if number % 2 else "SELL"
        to_and_fro.take(msgspec.structs.replace(trade(number, 10, DOLLAR, side=side), trade_date=day))
        only_bought.take(msgspec.structs.replace(trade(number, 10, DOLLAR), trade_date=day))
    assert 0 < len(to_and_fro.entries) <= 4
    assert len(only_bought.entries) == 9
    old = msgspec.structs.replace(trade(0, 10, DOLLAR, side="SELL"), trade_date=0)
    assert to_and_fro.take(bust(old)).quantity == 10
    assert to_and_fro.anomalies == [NOT_REDERIVED]
    assert figures(to_and_fro.take(bust(trade(150, 10, DOLLAR, side="SELL"))))["quantity"] == 20
    assert to_and_fro.anomalies == [NOT_REDERIVED]


def test_a_position_from_before_the_list_goes_on_with_what_it_holds_as_one_lot() -> None:
    known = {"quantity": -30, "costBasis": -300, "realised": 7, "tradedQuantity": 90, "tradedNotional": 900}
    named = {"accountId": "ACC1", "symbol": "MSFT", "lastPrice": 10, "updatedAt": 1, "fees": 0}
    keeper = Keeper(state=msgspec.convert(known | named, Position))
    position = keeper.take(trade(1, 20, 12))
    assert (position.quantity, position.fifo_cost_basis, position.fifo_realised) == (-10, -100, 7 - 40)
    assert (position.cost_basis, position.realised) == (-100, 7 - 40)
    assert keeper.take(bust(trade(1, 20, 12))).quantity == -30
    assert (keeper.state.realised, keeper.state.fifo_realised, keeper.anomalies) == (7, 7, [])
