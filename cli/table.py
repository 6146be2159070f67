"""Results as a table of plain text that a person reads and `awk` splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import click

GAP: Final = 2
"""Characters between two columns."""


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows under a header, columns aligned, the last one as long as it is."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        click.echo((" " * GAP).join([*cells, line[-1]]))


def write_rows(rows: Sequence[Mapping[str, Any]], form: str) -> None:
    """Prints rows of the same fields: as JSON lines, or as a table with the fields' names for a header."""
    if form == "json":
        from operators.codec.json_form import dumps

        for row in rows:
            click.echo(dumps(row))
    elif rows:
        write_table([name.upper() for name in rows[0]], [[text(value) for value in row.values()] for row in rows])


def text(value: Any) -> str:
    """A value in a table's cell, without spaces where it has parts; a dash where there is none."""
    if is_empty(value):
        return "-"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_inside(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ",".join(_inside(part) for part in value)
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def is_empty(value: Any) -> bool:
    """Whether a value has nothing to show, as a mapping of nothing but None."""
    if isinstance(value, Mapping):
        return all(part is None for part in value.values())
    return value is None or value in ("", [], ())


def _inside(value: Any) -> str:
    """A value with parts within another one, in brackets that tell which commas are whose."""
    if isinstance(value, Mapping) and value:
        return "{" + text(value) + "}"
    return "[" + text(value) + "]" if isinstance(value, list | tuple) and value else text(value)
