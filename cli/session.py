"""What every command starts from: the settings, loaded once, and logs set up by them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from config.settings import Settings, load_settings

P = ParamSpec("P")
R = TypeVar("R")


class Session:
    """One call of the command: which file it was given, and the settings once they are asked for."""

    def __init__(self, config_file: Path | None) -> None:
        self.config_file = config_file

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings in force. The first use loads them and sets up logs; `ConfigurationError` if they are wrong."""
        from config import logs  # a command that needs no settings needs no logs either, and starts faster

        settings = load_settings(self.config_file, os.environ)
        logs.setup(settings.logs.level, settings.logs.format)
        return settings


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Gives the settings to a command as its first argument."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> R:
        session = click.get_current_context().find_object(Session)
        assert session is not None
        return command(session.settings, *arguments, **options)

    return call
