"""What to do when a second simulated service takes over the first one's transactional id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from config.errors import FencedError


@contextmanager
def takeover_explained(name: str, transactional_id: str) -> Iterator[None]:
    """Says of a `FencedError` who is in whose way, and what to do."""
    try:
        yield
    except FencedError as error:
        raise FencedError(
            f"the simulated {name} was replaced by another one with the same transactional id {transactional_id!r}. "
            f"Only one may work on a log: end either this or the other `orderflow simulate`, `up --simulate` or demo, "
            f"or give each an application.prefix of its own ({error})"
        ) from error
