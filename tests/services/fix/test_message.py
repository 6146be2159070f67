"""A message's bytes become its fields, whatever its data fields hold; sums and repeated tags are checked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fix.message import Message, parse

HEAD = [("8", "FIX.4.4"), ("35", "8")]
Build = Callable[..., bytes]


def parsed(content: bytes, separator: bytes = b"\x01") -> Message:
    message = parse(content, separator)
    assert isinstance(message, Message), message
    return message


@pytest.mark.parametrize("separator", [b"\x01", b"|", b";"])
def test_fields_and_checksum_are_read_with_any_separator(build: Build, separator: bytes) -> None:
    message = parsed(build([*HEAD, ("55", "IBM"), ("58", "a=b")], separator), separator)
    assert (message.fields["55"], message.fields["58"], message.checksum_ok) == ("IBM", "a=b", True)


def test_a_wrong_checksum_is_seen(build: Build) -> None:
    content = build(HEAD)
    wrong = b"10=%03d\x01" % ((int(content[-4:-1]) + 1) % 256)
    assert not parsed(content[:-7] + wrong).checksum_ok


def test_raw_data_may_hold_the_separator_and_what_looks_like_fields(build: Build) -> None:
    message = parsed(build([*HEAD, ("95", "9"), ("96", "a\x0111=C9\x01b"), ("11", "C1")]))
    assert (message.fields["96"], message.fields["11"], message.checksum_ok) == ("a\x0111=C9\x01b", "C1", True)


def test_a_wrong_data_length_falls_back_to_the_separator(build: Build) -> None:
    message = parsed(build([*HEAD, ("95", "99"), ("96", "abc"), ("11", "C1")]))
    assert (message.fields["96"], message.fields["11"]) == ("abc", "C1")


def test_a_text_may_hold_the_separator_that_a_log_shows(build: Build) -> None:
    content = build([*HEAD, ("58", "a"), ("11", "C1")], b"|").replace(b"58=a|", b"58=a|b|")
    assert parsed(content, b"|").fields["58"] == "a|b"


def test_bytes_that_are_no_field_are_refused_on_the_wire(build: Build) -> None:
    content = build([*HEAD, ("58", "a\x01junk"), ("11", "C1")])
    assert "no field" in str(parse(content))


@pytest.mark.parametrize("junk", [b"=1\x01", b"x1=2\x01", b"\xd9\xa3=2\x01"])
def test_a_tag_is_a_number(build: Build, junk: bytes) -> None:
    assert "no field" in str(parse(build(HEAD).replace(b"10=", junk + b"10=")))


def test_a_message_ends_with_its_separator(build: Build) -> None:
    assert parse(build(HEAD)[:-1]) == "the last field has no end"


def test_text_that_is_no_utf_8_is_latin_1(build: Build) -> None:
    content = build([*HEAD, ("58", "xxxx")]).replace(b"xxxx", b"Caf\xe9")
    assert parsed(content).fields["58"] == "Café"


def test_of_a_repeating_group_the_first_value_is_kept(build: Build) -> None:
    message = parsed(build([*HEAD, ("453", "2"), ("448", "A"), ("448", "B")]))
    assert (message.fields["448"], message.repeated) == ("A", None)


def test_a_single_tag_with_two_values_is_ambiguous(build: Build) -> None:
    same = parsed(build([*HEAD, ("32", "100"), ("32", "100")]))
    assert (same.repeated, same.ambiguous) == ("32", False)
    other = parsed(build([*HEAD, ("32", "100"), ("32", "200")]))
    assert (other.repeated, other.ambiguous) == ("32", True)


@given(
    st.lists(
        st.tuples(
            st.integers(5000, 9999).map(str),
            st.text(st.characters(codec="utf-8", exclude_characters="\x01"), min_size=1),
        ),
        unique_by=lambda pair: pair[0],
    )
)
def test_every_message_comes_back_from_the_wire(build: Build, pairs: list[tuple[str, str]]) -> None:
    message = parsed(build([*HEAD, *pairs]))
    assert message.checksum_ok
    assert {tag: message.fields[tag] for tag, _ in pairs} == dict(pairs)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_reason(content: bytes) -> None:
    for separator in (b"\x01", b"|", b";"):
        assert isinstance(parse(b"8=FIX.4.4" + separator + content + separator, separator), Message | str)
