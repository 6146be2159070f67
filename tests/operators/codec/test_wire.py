"""The five bytes before every datum."""

import pytest

from operators.codec.wire import header, schema_id


@pytest.mark.parametrize("identity", [0, 1, 255, 256, 2**31 - 1])
def test_a_header_says_its_schema_id(identity) -> None:
    assert header(identity) == b"\0" + identity.to_bytes(4, "big")
    assert schema_id(header(identity) + b"datum") == identity
