"""Which columns of a query's rows a table shows: those that matter most, as far as the terminal is wide."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from cli.table import GAP, text, write_table

POSITIONS: Final = (
    "accountId", "symbol", "quantity", "averageCost", "lastPrice", "realised", "unrealised", "fees",
    "openBuy", "openSell", "exposureLimitUsed", "tradingState", "updatedAt",
)  # fmt: skip
MONTHS: Final = ("accountId", "month", "shares", "exactTotal", "billedTotal", "tierAdjustment", "rounding", "exact")
DAYS: Final = ("accountId", "tradeDate", "shares", "exactTotal", "billedTotal", "rounding", "exact")
TIMELINE: Final = (
    "occurredAt", "key", "origin", "kind", "code", "filledQuantity", "leavesQuantity", "text", "lastQuantity",
    "lastPrice", "marks", "quantity", "price", "averagePrice", "execId", "correlationId", "sequence",
)  # fmt: skip
DASHBOARD: Final = (
    "symbol", "venue", "start", "orders", "openNow", "fills", "tradedQuantity", "vwap", "fillRate", "canceled",
    "rejected", "acknowledgementMicros", "firstFillMicros", "rejectReasons",
)  # fmt: skip
ALERTS: Final = (
    "raisedAt", "clearedAt", "kind", "severity", "key", "symbol", "measured", "limit", "unit", "detail"
)  # fmt: skip
"""The columns of each view that matter most, most important first. The others are shown by `--wide`."""

_CELL_WIDTH_MIN: Final = 20
_CELL_WIDTH_MAX: Final = 60
"""Where a terminal's width counts, cells are cut to what is left of it: to no less, and never to more."""


def write_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, wide: bool) -> None:
    """Prints the columns, as many as the terminal holds, or with `wide` all that the rows have.

    What is left out is said on standard error. Where standard output is no terminal, all of `columns` are printed.
    """
    if not rows:
        return
    width = None if wide else _terminal_width()
    names = list(rows[0]) if wide else [name for name in columns if name in rows[0]]
    cells = {name: [text(row[name]) for row in rows] for name in names}
    shown = cells if width is None else _fitting(cells, width)
    write_table([name.upper() for name in shown], list(zip(*shown.values(), strict=True)))
    left_out = len(rows[0]) - len(shown)
    if left_out:
        click.echo(f"{left_out} more columns: --wide, or --format json", err=True)


def _fitting(cells: Mapping[str, Sequence[str]], width: int) -> dict[str, Sequence[str]]:
    """Those columns that fit beside each other, the first in any case; long cells are cut to what there is."""
    shown: dict[str, Sequence[str]] = {}
    left = width
    for name, column in cells.items():
        given = max(len(name), min(_CELL_WIDTH_MAX, max(map(len, column))))
        if given > left and shown:
            if left < max(len(name), _CELL_WIDTH_MIN):
                continue
            given = left
        shown[name] = [_cut(cell, given) for cell in column]
        left -= given + GAP
    return shown


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"


def _terminal_width() -> int | None:
    """Of standard output in characters, or what COLUMNS says; None where neither is there."""
    if os.environ.get("COLUMNS") or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None
