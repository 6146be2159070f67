"""Messages are found in any log, however it is cut into chunks, and nothing of it gets lost."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fix import framing
from services.fix.framing import Frame, Rest, frames

HEARTBEAT = [("8", "FIX.4.2"), ("35", "0"), ("34", "1")]
Build = Callable[..., bytes]
SEPARATORS = [b"\x01", b"|", b";", b"^A"]


def pieces(content: bytes, chunk_bytes: int = 1 << 20) -> list[Frame | Rest]:
    return list(frames(io.BytesIO(content).read, chunk_bytes))


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize(
    "line",
    [
        b"%s\n",
        b"%s\r\n",
        b"20261120-14:30:00.118 : %s\n",
        b"<20261120-14:30:00, FIX.4.2:DESK->XNYS, incoming>\n  (%s)\n",
        b"2026-11-20 14:30:00,118 INFO [QFJ-1] fix.in - %s\r\n",
        b"IN %s OUT trailing words\n",
    ],
)
def test_a_message_is_found_behind_any_prefix(build: Build, separator: bytes, line: bytes) -> None:
    log = line % build(HEARTBEAT, separator)
    [frame] = [piece for piece in pieces(log) if isinstance(piece, Frame)]
    assert frame.length_ok
    assert frame.content == build(HEARTBEAT, frame.separator)
    assert frame.offset == log.index(b"8=FIX")


@pytest.mark.parametrize("separator", SEPARATORS)
def test_several_messages_stand_on_a_line_and_the_last_separator_may_be_missing(build: Build, separator: bytes) -> None:
    message = build(HEARTBEAT, separator)
    found = pieces(message + message + b" " + message.removesuffix(separator))
    assert [type(piece) for piece in found] == [Frame] * 3
    assert {piece.content for piece in found} == {found[0].content}


def test_the_length_finds_the_end_of_raw_data_with_lines_and_checksums_in_it(build: Build) -> None:
    message = build([*HEARTBEAT, ("95", "13"), ("96", "\n10=000\x018=FIX\n")])
    [frame] = pieces(b"x " + message + b"\n")
    assert frame.content == message


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("length", [b"1", b"12345", b"99999999"])
def test_with_a_wrong_length_the_message_ends_at_its_checksum(build: Build, separator: bytes, length: bytes) -> None:
    message = build(HEARTBEAT, separator)
    right = message.split(separator)[1]
    [frame] = pieces(message.replace(right, b"9=" + length) + b"\n")
    assert isinstance(frame, Frame)
    assert not frame.length_ok


@pytest.mark.parametrize("version", ["FIX.4.0", "FIX.4.2", "FIX.4.4", "FIXT.1.1", "FIX.5.0SP2"])
def test_every_version_starts_a_message(build: Build, version: str) -> None:
    [frame] = pieces(build([("8", version), *HEARTBEAT[1:]]))
    assert isinstance(frame, Frame)


def test_a_message_without_end_is_cut_off_at_its_line_or_at_the_next_message(build: Build) -> None:
    message = build(HEARTBEAT)
    found = pieces(message[:30] + b"\n" + message[:25] + message)
    assert [type(piece) for piece in found] == [Rest, Rest, Frame]
    assert [(piece.offset, piece.line) for piece in found] == [(0, 1), (31, 2), (56, 2)]
    assert "cut off" in str(found[0][3])


@pytest.mark.parametrize("head", [b"8=FIX.4.2 9=5 35=0", b"8=FIX.4.2|35=0|10=000|", b"8=FIXED"])
def test_a_head_without_a_known_separator_is_refused(head: bytes) -> None:
    [rest] = pieces(head + b"\n")
    assert "BeginString" in str(rest[3])


@pytest.mark.parametrize("remains", [b"|35=8|11=C1|10=123|", b"\x00\x01\x02", b"10=123\x01", b"...35=D"])
def test_remains_of_messages_are_told_from_words(remains: bytes) -> None:
    [rest] = pieces(b"12:00 " + remains + b"\n")
    assert rest[3] is not None


@pytest.mark.parametrize("words", [b"session created", b"108=FIX is no start", "Verbindung getrennt äöü".encode()])
def test_words_of_the_log_have_no_reason(words: bytes) -> None:
    [rest] = pieces(words + b"\n\n  \n")
    assert rest == Rest(0, 1, words, None)


@pytest.fixture(scope="module")
def log(build: Build) -> bytes:
    raw = build([*HEARTBEAT, ("95", "3"), ("96", "\n8=")])
    lines = [build(HEARTBEAT, separator) + b"\r\n" for separator in SEPARATORS]
    return b"words 1\n" + b"p ".join(lines) + raw + b" tail\n" + raw[:20] + b"\n\x00junk\nwords 2\n" + raw[:-1]


@given(st.integers(1, 400))
def test_the_size_of_chunks_makes_no_difference(log: bytes, chunk_bytes: int) -> None:
    assert pieces(log, chunk_bytes) == pieces(log)


@given(st.lists(st.sampled_from([b"8=FIX.4.2|9=5|35=0|10=1", b"8=FIX", b"|", b"\n", b"10=000|", b"a", b"\x00", b"\r"])))
def test_pieces_follow_each_other_and_chunks_make_no_difference_for_any_bytes(parts: list[bytes]) -> None:
    content = b"".join(parts)
    found = pieces(content)
    assert [piece.offset for piece in found] == sorted({piece.offset for piece in found})
    assert pieces(content, 3) == found
    rests = [piece for piece in found if isinstance(piece, Rest)]
    assert all(content[rest.offset :].startswith(rest.content) for rest in rests)


def test_endless_bytes_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch, build: Build) -> None:
    monkeypatch.setattr(framing, "MESSAGE_BYTES_MAX", 1_000)
    content = b"\x00" * 5_000 + build(HEARTBEAT) + b"8=FIX.4.2|9=99|" + b"x" * 5_000
    found = pieces(content, 100)
    assert max(len(piece.content) for piece in found) <= 1_200
    assert b"".join(piece.content for piece in found).startswith(content[:6_000])
    assert sum(isinstance(piece, Frame) for piece in found) == 1
