"""Who committed a group's offsets last: each commit of ours leaves its holder in the metadata of the offsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from broker.holder import Holder, decoded
from broker.kafka_client import make_client

_PATIENCE_S: Final = 5.0
"""It is asked for a message to be clearer, and never worth a long wait."""


@dataclass(frozen=True, slots=True)
class GroupHolders:
    """Asks a cluster about one group."""

    client: Mapping[str, object]
    group: str

    def newest(self) -> Holder | None:
        """Of the holders that committed offsets which still stand, the one that began last; None if it is not known."""
        request = [ConsumerGroupTopicPartitions(self.group)]
        try:
            admin = make_client(AdminClient, self.client)
            [future] = admin.list_consumer_group_offsets(request, request_timeout=_PATIENCE_S).values()
            positions = future.result(_PATIENCE_S).topic_partitions
        except (KafkaException, TimeoutError):
            return None
        found = [holder for position in positions if (holder := decoded(position.metadata)) is not None]
        return max(found, key=lambda holder: holder.since, default=None)
