"""Reference data on the log: risk limits and instruments of files, published to their compacted topics, and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

import config
from broker.contract import Log, TopicPartition
from config.errors import UsageError
from operators.codec.codec import Codec
from operators.model.events import Event
from operators.model.risk.limits_files import parse_accounts, parse_controls, parse_locates, parse_symbols

CONTROLS_TOPIC: Final = "risk.controls"
SYMBOLS_TOPIC: Final = "reference.symbols"
ACCOUNTS_TOPIC: Final = "reference.accounts"
LOCATES_TOPIC: Final = "reference.locates"
TOPICS: Final = (CONTROLS_TOPIC, SYMBOLS_TOPIC, ACCOUNTS_TOPIC, LOCATES_TOPIC)
LIMITS_FILE: Final = Path(config.__file__).parent / "limits.yaml"
SYMBOLS_FILE: Final = Path(config.__file__).parent / "symbols.yaml"
SOURCE: Final = "operations"
_READ_RECORDS: Final = 10_000


def publish(
    log: Log,
    codec: Codec,
    *,
    occurred_at: int,
    limits_file: Path | None = LIMITS_FILE,
    symbols_file: Path | None = SYMBOLS_FILE,
    accounts_file: Path | None = None,
    locates_file: Path | None = None,
    client_id: str = "reference",
) -> dict[str, int]:
    """Publishes the files given, true from `occurred_at` (microseconds UTC) on; the number of records by topic.

    Publishing again replaces the records of the same scope, symbol, account or locate. `ConfigurationError` lists every
    problem in the files; nothing was published then.
    """
    files: dict[str, tuple[Path | None, _Parse]] = {
        CONTROLS_TOPIC: (limits_file, parse_controls),
        SYMBOLS_TOPIC: (symbols_file, parse_symbols),
        ACCOUNTS_TOPIC: (accounts_file, parse_accounts),
        LOCATES_TOPIC: (locates_file, parse_locates),
    }
    records = {
        topic: parse(text_of(file), occurred_at=occurred_at, source=SOURCE, file=str(file))
        for topic, (file, parse) in files.items()
        if file is not None
    }
    send(log, codec, records, client_id=client_id)
    return {topic: len(given) for topic, given in records.items()}


def send(log: Log, codec: Codec, records: Mapping[str, Sequence[Event]], *, client_id: str = "reference") -> None:
    """Writes records to their reference topics, under their own keys."""
    with closing(log.producer(client_id)) as producer:
        for topic, given in records.items():
            values = codec.encode_records(topic, [msgspec.to_builtins(record) for record in given])
            for record, value in zip(given, values, strict=True):
                producer.send(topic, record.key.encode(), value)
        producer.flush()


class _Parse(Protocol):
    def __call__(self, text: str, *, occurred_at: int, source: str, file: str | None) -> Sequence[Event]: ...


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


def text_of(file: Path) -> str:
    """What a file says; `UsageError` for one that cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: save it as UTF-8") from error
