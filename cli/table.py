"""Results as a table of plain text that a person reads and `awk` splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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
