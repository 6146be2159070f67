"""Why a cluster cannot be reached: a client of its own is made and asked, since one that waits tells nobody."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from config.errors import ConfigurationError

_LISTEN_S: Final = 2.0
_POLL_S: Final = 0.1
_REASONS_MAX: Final = 3
"""A cluster of many brokers that are all away has as many reasons, and they are the same."""


def why_unreachable(client: Mapping[str, object]) -> str:
    """What connecting with the options of a client meets with now, in words: names, ports, TLS, credentials.

    Takes some seconds. Brokers that answer are said to: then the reason lies with what was asked of them.
    """
    reasons: dict[str, None] = {}

    def note(error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            reasons.setdefault(error.str().partition(" (after ")[0].strip())

    silent = logging.Logger("broker.kafka.reach", logging.CRITICAL + 1)  # what it would log is what it is asked for
    try:
        admin = AdminClient({**client, "error_cb": note}, logger=silent)
    except (KafkaException, ConfigurationError, ValueError) as error:
        return str(error)
    until_s = time.monotonic() + _LISTEN_S
    while time.monotonic() < until_s and len(reasons) < _REASONS_MAX:
        admin.poll(_POLL_S)
    if reasons:
        return "; ".join(list(reasons)[:_REASONS_MAX])
    try:
        brokers = admin.list_topics(timeout=_LISTEN_S).brokers
    except KafkaException as error:
        return f"connected, but not answered: {error.args[0].str()}"
    return f"{len(brokers)} broker(s) answer"
