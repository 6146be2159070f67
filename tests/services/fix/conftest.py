"""Messages as an engine writes them, and fields of typical ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

Build = Callable[..., bytes]


@pytest.fixture(scope="session")
def build() -> Build:
    """Makes a message of fields, BeginString first, framed as on the wire and shown with `separator`."""

    def build(fields: Mapping[str, str] | list[tuple[str, str]], separator: bytes = b"\x01") -> bytes:
        (_, begin_string), *rest = fields.items() if isinstance(fields, Mapping) else fields
        body = b"".join(f"{tag}={value}".encode() + b"\x01" for tag, value in rest)
        content = f"8={begin_string}\x019={len(body)}\x01".encode() + body
        content += b"10=%03d\x01" % (sum(content) % 256)
        return content.replace(b"\x01", separator)

    return build


@pytest.fixture
def fill() -> dict[str, str]:
    """The fields of a FIX 4.4 fill, header included."""
    return {
        "8": "FIX.4.4",
        "35": "8",
        "34": "7",
        "49": "XNYS",
        "52": "20261120-14:30:00.120",
        "56": "DESK",
        "37": "N1",
        "11": "C1",
        "17": "E1",
        "150": "F",
        "39": "1",
        "1": "ALPHA",
        "55": "IBM",
        "54": "1",
        "38": "300",
        "32": "100",
        "31": "150.25",
        "14": "100",
        "151": "200",
        "6": "150.25",
        "60": "20261120-14:30:00.118",
    }


@pytest.fixture
def request_new() -> dict[str, str]:
    """The fields of a FIX 4.4 NewOrderSingle, header included."""
    return {
        "8": "FIX.4.4",
        "35": "D",
        "34": "3",
        "49": "DESK",
        "50": "jdoe",
        "52": "20261120-14:30:00.100",
        "56": "XNYS",
        "11": "C1",
        "1": "ALPHA",
        "55": "IBM",
        "54": "1",
        "38": "300",
        "40": "2",
        "44": "150.25",
        "60": "20261120-14:30:00.099",
    }
