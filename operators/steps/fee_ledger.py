# ruff: noqa: RUF009  # `option` makes the dataclass field that holds the declaration; it is no shared default value
"""The operator `fee_ledger`: the fees of each account by trade date and month, as a view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from config.options import Declaration, option
from config.topology import OperatorSpec
from operators.model.events import OrderEnriched, account_of
from operators.model.fees.fees import FeeSchedule
from operators.model.fees.ledger import (
    AccountMonth,
    Rounding,
    check_open,
    forget_at_ms,
    has_fees,
    month_key,
    month_of,
    on_enriched,
)
from operators.registry import Build, Operator, scalar
from operators.steps.fee_schedules import fee_schedule, fee_schedule_problems
from operators.stream.step import Context, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeLedgerOptions:
    """Options of the fee ledger. `fees` names a table under config/fees, or the path of another one: the join's."""

    fees: str = "us_equities"
    rounding: Rounding = option("account_day", Declaration("what is rounded up to a cent: a day's sum, or each trade"))
    months: int = option(13, Declaration("how many months are kept after their end", "months", minimum=1, maximum=120))


class FeeLedger:
    """Adds up fees per account and month; busts find their month until it is let go."""

    state_type = AccountMonth

    def __init__(self, options: FeeLedgerOptions, schedule: FeeSchedule) -> None:
        self._options, self._schedule = options, schedule

    def on_record(
        self, state: AccountMonth | None, key: str, role: str, record: OrderEnriched, context: Context
    ) -> Result[AccountMonth]:
        month = key.rpartition("@")[2]
        if has_fees(record):
            rounding = self._options.rounding
            state = on_enriched(state, record, month, schedule=self._schedule, rounding=rounding)
        return Result(state, due_ms=forget_at_ms(month, self._options.months))

    def on_due(self, state: AccountMonth, key: str, context: Context) -> Result[AccountMonth]:
        return Result(None)

    def window_keys(self, key: str, record: OrderEnriched, context: Context) -> Sequence[str]:
        month = month_of(record)
        if has_fees(record):
            check_open(record, month, months_kept=self._options.months, event_time_ms=context.event_time_ms)
        return [month_key(account_of(record.key), month)]


def _logic(given: Build) -> FeeLedger:
    return FeeLedger(given.options, fee_schedule(given.options.fees))


OPERATOR: Final[Operator] = scalar(
    OperatorSpec(
        name="fee_ledger",
        keys=frozenset({"account"}),
        inputs={"enrichment": "OrderEnriched"},
        outputs={},
        options=FeeLedgerOptions,
        option_problems=fee_schedule_problems,
    ),
    _logic,
)
