"""How fills move an account's position, cash, result and throttles. What is given is changed in place.

| a status says | position and realised | cash | traded on the day |
|---|---|---|---|
| more is filled | a trade at what the fills cost more (`positions.traded`) | ∓ notional | + notional |
| less is filled (bust) | the opposite trade at what the fills cost less | ± notional | − notional |
| as much for more or less (correction) | the cost moves if there is a position of that side, else realised | \
∓ difference | ± difference |
| other quantities for the same money, a split (`splits`) | the whole position scaled, at the same cost, once per UTC \
day; a fraction that is lost is realised at its cost | 0 | 0 |

So, whatever happened, realised + Σ (quantity × mark − cost) = cash + Σ quantity × mark.
"""

from __future__ import annotations

from operators.model.money import fitting
from operators.model.positions.positions import Holding, side_sign, traded
from operators.model.risk.book import Book
from operators.model.risk.limits import SymbolReference
from operators.model.risk.limits_in_force import Limits
from operators.model.risk.splits import Ratio
from operators.model.risk.state import NEVER, AccountRisk, OrderRisk, SymbolRisk
from operators.model.risk.times import remembered, times_part, within

DAY_MICROS = 86_400_000_000


def take_fill(
    account: AccountRisk, symbol: SymbolRisk, order: OrderRisk, *, quantity: int, notional: int, today: bool
) -> None:
    """Takes in a change of an order's filled quantity and of what its fills are worth; negative is a bust."""
    holding, realised = Holding(symbol.quantity, symbol.cost_basis), 0
    sign = side_sign(order.side)
    rest = notional
    if quantity != 0:
        direction = 1 if quantity > 0 else -1
        at = max(0, direction * notional)
        holding, realised = traded(holding, signed_quantity=quantity * sign, notional=at)
        rest = notional - direction * at
    if rest:
        holding, corrected = _repriced(holding, sign, rest)
        realised += corrected
    mark = 0
    if holding.quantity:
        mark = symbol.mark or (abs(notional) // abs(quantity) if quantity else 0)
    hold(account, symbol, quantity=holding.quantity, cost_basis=holding.cost_basis, mark=mark)
    account.cash = fitting(account.cash - sign * notional, "cash")
    account.realised = fitting(account.realised + realised, "realised profit")
    if today:
        account.traded = fitting(account.traded + notional, "traded today")


def hold(account: AccountRisk, symbol: SymbolRisk, *, quantity: int, cost_basis: int, mark: int) -> None:
    """Makes this the position in a symbol, and changes the account's totals by the difference."""
    before, unrealised = symbol.cost_basis, symbol.unrealised
    symbol.quantity = fitting(quantity, "position")
    symbol.cost_basis = fitting(cost_basis, "cost basis")
    symbol.mark = mark
    account.open_notional = fitting(account.open_notional + abs(cost_basis) - abs(before), "open notional")
    account.net_notional = fitting(account.net_notional + cost_basis - before, "net notional")
    account.unrealised = fitting(account.unrealised + symbol.unrealised - unrealised, "unrealised profit")


def take_split(account: AccountRisk, symbol: SymbolRisk, split: Ratio, day: int) -> None:
    """Scales the position in a symbol by a split of this UTC day: every restated order of it tells the same one."""
    if day <= symbol.split_day:
        return
    symbol.split_day = day
    held = split.of(abs(symbol.quantity))
    quantity = held if symbol.quantity > 0 else -held
    cost_basis = symbol.cost_basis if quantity else 0
    account.realised = fitting(account.realised - (symbol.cost_basis - cost_basis), "realised profit")
    hold(account, symbol, quantity=quantity, cost_basis=cost_basis, mark=split.price(symbol.mark))


def mark_to(account: AccountRisk, symbol: SymbolRisk, known: SymbolReference | None) -> None:
    """Values the position in a symbol at a newer reference price, if there is one; not at one of before a split."""
    price = known.reference_price if known is not None else None
    if symbol.quantity == 0 or known is None or price is None or price == symbol.mark or price <= 0:
        return
    if symbol.split_day >= 0 and known.price_at // DAY_MICROS < symbol.split_day:
        return
    hold(account, symbol, quantity=symbol.quantity, cost_basis=symbol.cost_basis, mark=price)


def count_execution(book: Book, name: str, at: int, limits: Limits, *, today: bool) -> None:
    """Counts an execution in a symbol; one more than a throttle allows in its window latches the throttle's scope."""
    account = book.account
    if today:
        account.executions += 1
    for counted in limits.executions:
        part = times_part("executions", counted.over, symbol=name)
        times = remembered(book.times(part), at, counted)
        book.put_times(part, times)
        since = limits.rearmed_at.get(counted.over, NEVER)
        for count in counted.counts:
            hard = count.level.hard
            # Of no more times than the limit, no more can lie in its window.
            if hard is not None and len(times) > hard.value and within(times, at, count, since) > hard.value:
                latched = account if counted.over == "account" else book.symbol(name)
                latched.latched_at = max(at, latched.latched_at)


def _repriced(holding: Holding, sign: int, notional: int) -> tuple[Holding, int]:
    """The holding after fills of one side turned out to cost so much more, and what that realised."""
    cost = holding.cost_basis + sign * notional
    if holding.quantity * sign > 0 and cost * sign >= 0:
        return Holding(holding.quantity, cost), 0
    return holding, -sign * notional
