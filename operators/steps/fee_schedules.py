"""Fee schedules by the name that an option gives: the files under config/fees, or one at a path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import config
from config.errors import ConfigurationError, Problem
from operators.model.fees.fees import FeeSchedule
from operators.model.fees.tables import parse_schedule


def fee_schedule(name: str) -> FeeSchedule:
    """The fee schedule of that name under config/fees, or at that path. `ConfigurationError` if it is wrong.

    What a schedule extends lies beside it, or under config/fees.
    """
    folder = Path(config.__file__).parent / "fees"
    path = Path(name) if "/" in name else folder / f"{name}.yaml"

    def extended(base: str) -> str:
        beside = path.parent / f"{base}.yaml"
        return (beside if beside.exists() else folder / f"{base}.yaml").read_text()

    try:
        return parse_schedule(path.read_text(), str(path), extended=extended)
    except OSError as error:
        raise ConfigurationError(
            [Problem(f"fee schedule {name!r} cannot be read: {error.strerror}: {error.filename}", str(path))]
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([Problem(f"fee schedule {name!r} is no text: {error}", str(path))]) from error


def fee_schedule_problems(options: Any) -> Sequence[Problem]:
    """What is wrong with the fee schedule that the option `fees` of an operator names."""
    try:
        fee_schedule(options.fees)
    except ConfigurationError as error:
        return error.problems
    return ()
