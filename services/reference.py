"""Reference data on the log: risk limits and instruments of files, published to their compacted topics, and read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

import config
from broker.contract import Log, TopicPartition
from config.errors import UsageError
from operators.codec.codec import Codec
from operators.model.limits import RiskControl, SymbolReference, parse_controls, parse_symbols

CONTROLS_TOPIC: Final = "risk.controls"
SYMBOLS_TOPIC: Final = "reference.symbols"
TOPICS: Final = (CONTROLS_TOPIC, SYMBOLS_TOPIC)
LIMITS_FILE: Final = Path(config.__file__).parent / "limits.yaml"
SYMBOLS_FILE: Final = Path(config.__file__).parent / "symbols.yaml"
_SOURCE: Final = "operations"
_READ_RECORDS: Final = 10_000


def publish(
    log: Log,
    codec: Codec,
    *,
    occurred_at: int,
    limits_file: Path = LIMITS_FILE,
    symbols_file: Path = SYMBOLS_FILE,
    client_id: str = "reference",
) -> dict[str, int]:
    """Publishes both files, true from `occurred_at` (microseconds UTC) on; the number of records by topic.

    Publishing again replaces the records of the same scope or symbol. `ConfigurationError` lists every problem in the
    files; nothing was published then.
    """
    given: dict[str, Sequence[RiskControl | SymbolReference]] = {
        CONTROLS_TOPIC: parse_controls(
            _text(limits_file), occurred_at=occurred_at, source=_SOURCE, file=str(limits_file)
        ),
        SYMBOLS_TOPIC: parse_symbols(
            _text(symbols_file), occurred_at=occurred_at, source=_SOURCE, file=str(symbols_file)
        ),
    }
    with closing(log.producer(client_id)) as producer:
        for topic, records in given.items():
            values = codec.encode_records(topic, [msgspec.to_builtins(record) for record in records])
            for record, value in zip(records, values, strict=True):
                producer.send(topic, record.key.encode(), value)
        producer.flush()
    return {topic: len(records) for topic, records in given.items()}


def read(log: Log, codec: Codec, topic: str, *, client_id: str = "reference") -> dict[str, dict[str, Any]]:
    """The newest record of each key of a reference topic; keys that were deleted are left out."""
    with closing(log.admin()) as admin:
        if topic not in admin.topics():
            raise UsageError(f"there is no topic {topic}: run `orderflow topics create`")
        partition = TopicPartition(topic, 0)
        beginning, end = admin.beginnings([partition])[partition], admin.ends([partition])[partition]
    found: dict[str, dict[str, Any]] = {}
    with closing(log.reader(client_id)) as reader:
        reader.assign({partition: beginning})
        position = beginning
        while position < end:
            records = reader.read(_READ_RECORDS, 0.2)
            if not records and reader.at_end():
                break
            for record in records:
                key, value = (record.key() or b"").decode(errors="replace"), record.value()
                position = record.offset() + 1
                if value is None:
                    found.pop(key, None)
                else:
                    found[key] = codec.decode_record(topic, value)
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
