"""How large a record of a flow may be: no larger than the smallest of the topics that it writes to takes.

What does not fit is refused where it is made, and its event becomes a dead letter. Sent, it would make the broker
refuse a whole batch, and the flow would stop at every start, at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import structlog

from broker.contract import Log
from config.errors import ConfigurationError, Problem
from sinks.dead_letters import LETTER_BYTES_LEAST

log = structlog.get_logger(__name__)


def within_limits(log_: Log, topics: Sequence[str], *, tell: bool) -> Log:
    """The log, limited to records and batches that all of these topics take, as far as it says what they take.

    `tell` is for one process of several, so that each thing is said once.

    Raises:
        ConfigurationError: a topic takes so little that not even a dead letter without its record would fit.

    """
    with closing(log_.admin()) as admin:
        limits = admin.limits(topics)
    if limits.untold and tell:
        topic, reason = min(limits.untold.items())
        log.warning(
            "the limits of topics cannot be read: a record larger than one of them takes would stop the flow; "
            "if this is a matter of rights, DescribeConfigs on them mends it",
            topics=sorted(limits.untold), topic=topic, reason=reason,
        )  # fmt: skip
    problems = [
        Problem(
            f"topic {topic} takes records of {most} bytes at most, and a dead letter may need {LETTER_BYTES_LEAST}: "
            "raise its max.message.bytes, which counts the framing of a batch besides"
        )
        for topic, most in sorted(limits.record_bytes_max.items())
        if most < LETTER_BYTES_LEAST
    ]
    if problems:
        raise ConfigurationError(problems)
    most, topic = min(((most, topic) for topic, most in limits.record_bytes_max.items()), default=(0, ""))
    if not topic or most >= log_.record_bytes_max:
        return log_
    if tell:
        log.info("records are limited to what the topic with the smallest limit takes", topic=topic, bytes_max=most)
    return log_.limited(most)
