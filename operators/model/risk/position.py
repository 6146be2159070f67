"""How fills move an account's position, cash, result and throttles.

| a status says | position and realised | cash | traded on the day |
|---|---|---|---|
| more is filled | a trade at what the fills cost more (`positions.traded`) | ∓ notional | + notional |
| less is filled (bust) | the opposite trade at what the fills cost less | ± notional | − notional |
| as much for more or less (correction) | the cost moves if there is a position of that side, else realised | \
∓ difference | ± difference |

So, whatever happened, realised + Σ (quantity × mark − cost) = cash + Σ quantity × mark.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence

from msgspec.structs import replace

from operators.model.money import fitting
from operators.model.positions.positions import Holding, side_sign, traded
from operators.model.risk.book import Book
from operators.model.risk.limits_in_force import Count, Limits
from operators.model.risk.state import NEVER, OrderRisk, SymbolRisk

DAY_MICROS = 86_400_000_000


def with_fill(book: Book, order: OrderRisk, *, quantity: int, notional: int, today: bool) -> None:
    """Takes in a change of an order's filled quantity and of what its fills are worth; negative is a bust."""
    if quantity == 0 and notional == 0:
        return
    before = book.symbol(order.symbol)
    holding, realised = Holding(before.quantity, before.cost_basis), 0
    sign = side_sign(order.side)
    rest = notional
    if quantity != 0:
        direction = 1 if quantity > 0 else -1
        at = max(0, direction * notional)
        holding, realised = traded(holding, signed_quantity=quantity * sign, notional=at)
        rest = notional - direction * at
    holding, corrected = _repriced(holding, sign, rest)
    average = abs(notional) // abs(quantity) if quantity else 0
    after = replace(
        before,
        quantity=fitting(holding.quantity, "position"),
        cost_basis=fitting(holding.cost_basis, "cost basis"),
        mark=(before.mark or average) if holding.quantity else 0,
    )
    account = book.account
    book.account = replace(
        account,
        cash=fitting(account.cash - sign * notional, "cash"),
        realised=fitting(account.realised + realised + corrected, "realised profit"),
        traded=fitting(account.traded + notional, "traded today") if today else account.traded,
    )
    with_symbol(book, order.symbol, after)


def with_symbol(book: Book, symbol: str, after: SymbolRisk) -> None:
    """Keeps the account's part in a symbol, and what that changes in the account's totals."""
    before, account = book.symbol(symbol), book.account
    book.put_symbol(symbol, after)
    if (after.quantity, after.cost_basis, after.mark) == (before.quantity, before.cost_basis, before.mark):
        if after.working != before.working:
            book.account = replace(account, working=account.working + after.working - before.working)
        return
    book.account = replace(
        account,
        open_notional=fitting(account.open_notional + abs(after.cost_basis) - abs(before.cost_basis), "open notional"),
        net_notional=fitting(account.net_notional + after.cost_basis - before.cost_basis, "net notional"),
        unrealised=fitting(account.unrealised + after.unrealised - before.unrealised, "unrealised profit"),
        working=account.working + after.working - before.working,
    )


def with_mark(book: Book, symbol: str, price: int | None) -> None:
    """Values the position in a symbol at a newer reference price, if there is one."""
    before = book.symbol(symbol)
    if price is not None and price > 0 and before.quantity != 0 and price != before.mark:
        with_symbol(book, symbol, replace(before, mark=price))


def with_execution(book: Book, symbol: str, at: int, limits: Limits, *, today: bool) -> None:
    """Counts an execution; one more than a throttle allows in its window latches the throttle's scope."""
    if today:
        book.account = replace(book.account, executions=book.account.executions + 1)
    for over in dict.fromkeys(count.over for count in limits.executions):
        counts = [count for count in limits.executions if count.over == over]
        part = times_part("executions", over, symbol=symbol)
        times = remembered(book.times(part), at, counts)
        book.put_times(part, times)
        since = limits.rearmed_at.get(over, NEVER)
        if not any(count.level.hard and within(times, at, count, since) > count.level.hard.value for count in counts):
            continue
        if over == "account":
            book.account = replace(book.account, latched_at=max(at, book.account.latched_at))
        else:
            part_of_symbol = book.symbol(symbol)
            latched_at = max(at, part_of_symbol.latched_at)
            book.put_symbol(symbol, replace(part_of_symbol, latched_at=latched_at))


def times_part(what: str, over: str, *, symbol: str, session: str | None = None) -> str:
    """The name under which times are kept that are counted over the account, a symbol or a session."""
    named = {"symbol": f"{what}|symbol|{symbol}", "session": f"{what}|session|{session}"}
    return named.get(over, what)


def remembered(times: Sequence[int], at: int, counts: Sequence[Count]) -> tuple[int, ...]:
    """The times with one more, as far as any of these counts still looks at them: so many, the latest, and no older."""
    oldest = at - max(count.window_micros for count in counts)
    kept = list(times[bisect_right(times, oldest) :])
    insort(kept, at)
    return tuple(kept[-max(count.kept for count in counts) :])


def within(times: Sequence[int], at: int, count: Count, since: int = NEVER) -> int:
    """How many of the times lie in the count's window before `at`, and after `since`; one from the future counts."""
    return len(times) - bisect_right(times, max(at - count.window_micros, since))


def _repriced(holding: Holding, sign: int, notional: int) -> tuple[Holding, int]:
    """The holding after fills of one side turned out to cost so much more, and what that realised."""
    cost = holding.cost_basis + sign * notional
    if notional == 0 or (holding.quantity * sign > 0 and cost * sign >= 0):
        return Holding(holding.quantity, cost), 0
    return holding, -sign * notional
