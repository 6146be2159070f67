"""Finds FIX messages in the bytes of a log: between timestamps, session names and other text, several on a line or not.

A message starts at `8=FIX`. BodyLength says where its CheckSum must be; if it is there, that is the message, whatever
the data fields within hold. If not, the message ends at the first CheckSum of its line, and its length is wrong. A
message without CheckSum on its line is cut off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import Final, NamedTuple

from services.fix.message import SOH

MESSAGE_BYTES_MAX: Final = 1 << 20
"""Longest message: what claims to be longer is damage."""

CARET: Final = b"^A"
_START: Final = b"8=FIX"
_HEAD: Final = re.compile(rb"8=FIXT?\.\d\.\d(?:SP\d)?(\x01|\||;|\^A)9=(\d{1,8})\1")
_HEAD_BYTES_MAX: Final = 40
_TRAILER: Final = re.compile(rb"10=\d{3}(?=[^0-9]|\Z)")
_TRAILER_BYTES: Final = 6
_TRAILER_BEHIND: Final = {
    separator: re.compile(rb"(?<=" + re.escape(separator) + rb")10=\d{3}(?=[^0-9]|\Z)")
    for separator in (SOH, b"|", b";", CARET)
}
# Text between messages that is more than a log's own words: fields without a beginning, or bytes no log writes.
_REMAINS: Final = re.compile(
    rb"(?:^|[^0-9A-Za-z])35=[0-9A-Za-z]|(?:^|[^0-9])10=\d{3}(?:[^0-9]|$)|[\x00-\x08\x0e-\x1a\x7f]"
)


class Frame(NamedTuple):
    """A whole message: from its `8=` to its last separator, `^A` already turned into SOH. `line` counts from 1."""

    offset: int
    line: int
    content: bytes
    separator: bytes
    length_ok: bool


class Rest(NamedTuple):
    """Bytes that are no message: what is left of one, or, without a `reason`, a line of the log's own words."""

    offset: int
    line: int
    content: bytes
    reason: str | None


def frames(read: Callable[[int], bytes], chunk_bytes: int = 1 << 20) -> Iterator[Frame | Rest]:
    """Everything in a stream in its order; memory is bounded by the longest message, `MESSAGE_BYTES_MAX`.

    `read` gives up to so many bytes, none at the end. Offsets count the bytes that it gave.
    """
    buffer, offset, line, fresh = b"", 0, 1, True
    while True:
        chunk = read(chunk_bytes)
        buffer += chunk
        done = yield from _Scan(buffer, offset, line, fresh=fresh, at_end=not chunk).run()
        line += buffer.count(b"\n", 0, done)
        offset += done
        if done:
            fresh = buffer[done - 1 : done] == b"\n"
        buffer = buffer[done:]
        if not chunk:
            return


class _Scan:
    """One pass over what was read and is not done; `run` returns how many of its bytes are done now.

    `fresh` says that the buffer begins with a line.
    """

    def __init__(self, buffer: bytes, offset: int, line: int, *, fresh: bool, at_end: bool) -> None:
        self._buffer, self._offset, self._line = buffer, offset, line
        self._fresh, self._at_end = fresh, at_end
        self._counted_to = 0

    def run(self) -> Generator[Frame | Rest, None, int]:
        buffer, position = self._buffer, 0
        while True:
            start = buffer.find(_START, position)
            while start > 0 and buffer[start - 1 : start].isdigit():  # the end of another tag, such as 108
                start = buffer.find(_START, start + 1)
            if start < 0:
                return (yield from self._last(position))
            if start > position:
                yield from self._between(position, start)
            found = self._message(start)
            if found is None:
                return start
            frame, position = found
            yield frame

    def _message(self, start: int) -> tuple[Frame | Rest, int] | None:
        """What starts here, and where it ends; None if more bytes are needed to tell."""
        buffer = self._buffer
        head = _HEAD.match(buffer, start)
        if head is None and not self._at_end and len(buffer) - start < _HEAD_BYTES_MAX:
            return None
        if head is not None and head[1] != CARET:
            trailer = head.end() + int(head[2])
            if trailer - start <= MESSAGE_BYTES_MAX:
                if trailer + _TRAILER_BYTES + 1 > len(buffer) and not self._at_end:
                    return None
                if buffer[trailer - 1 : trailer] == head[1] and _TRAILER.match(buffer, trailer):
                    return self._frame(start, trailer + _TRAILER_BYTES, head[1], length_ok=True)
        return self._by_line(start, head)

    def _by_line(self, start: int, head: re.Match[bytes] | None) -> tuple[Frame | Rest, int] | None:
        """The message ends within its line: at its CheckSum, or cut off at the next message or the line's end."""
        buffer = self._buffer
        end = buffer.find(b"\n", start, start + MESSAGE_BYTES_MAX)
        if end < 0:
            if not self._at_end and len(buffer) - start < MESSAGE_BYTES_MAX:
                return None
            end = min(len(buffer), start + MESSAGE_BYTES_MAX)
        following = buffer.find(_START, start + 1, end)
        if following >= 0 and not buffer[following - 1 : following].isdigit():
            end = following
        line_end = end - 1 if buffer[end - 1 : end] == b"\r" else end
        if head is None:
            reason = "it has no BeginString(8) and BodyLength(9) with a separator between that is SOH, |, ; or ^A"
            return self._rest(start, line_end, reason), end
        separator = head[1]
        trailer = _TRAILER_BEHIND[separator].search(buffer, head.end(), line_end)
        if trailer is None:
            return self._rest(start, line_end, "it is cut off: no CheckSum(10) before its line ends"), end
        if separator != CARET:
            return self._frame(start, trailer.end(), separator, length_ok=False)
        content = buffer[start : trailer.end()].replace(CARET, SOH) + SOH
        length_ok = _HEAD.match(content).end() + int(head[2]) == len(content) - _TRAILER_BYTES - 1  # type: ignore[union-attr]
        position = trailer.end() + (len(CARET) if buffer.startswith(CARET, trailer.end()) else 0)
        return Frame(self._offset + start, self._line_at(start), content, SOH, length_ok), position

    def _frame(self, start: int, end: int, separator: bytes, *, length_ok: bool) -> tuple[Frame, int]:
        """A message up to the last digit of its CheckSum; some logs leave out the separator behind it."""
        buffer = self._buffer
        if buffer.startswith(separator, end):
            content, end = buffer[start : end + 1], end + 1
        else:
            content = buffer[start:end] + separator
        return Frame(self._offset + start, self._line_at(start), content, separator, length_ok), end

    def _between(self, position: int, end: int) -> Iterator[Rest]:
        """The text up to the next message: whole lines, and what stands before and behind messages on their lines."""
        buffer = self._buffer
        while position < end:
            stop = buffer.find(b"\n", position, end)
            stop = end if stop < 0 else stop
            text = buffer[position:stop].strip()
            if text:
                if _REMAINS.search(text):
                    yield self._rest(position, stop, "no message starts here, but these are not a log's own words")
                elif stop < end and (self._fresh if position == 0 else buffer[position - 1 : position] == b"\n"):
                    yield self._rest(position, stop, None)
            position = stop + 1

    def _last(self, position: int) -> Generator[Rest, None, int]:
        """No further message starts in the buffer: all is done but a line that is not whole yet."""
        buffer = self._buffer
        if self._at_end:
            end = len(buffer)
            if end > position:
                yield from self._between(position, end)
            return end
        end = buffer.rfind(b"\n", position) + 1
        if len(buffer) - max(end, position) > MESSAGE_BYTES_MAX:
            end = len(buffer) - len(_START)
        if end > position:
            yield from self._between(position, end)
        return max(end, position)

    def _rest(self, start: int, end: int, reason: str | None) -> Rest:
        return Rest(self._offset + start, self._line_at(start), self._buffer[start:end], reason)

    def _line_at(self, position: int) -> int:
        if position > self._counted_to:
            self._line += self._buffer.count(b"\n", self._counted_to, position)
            self._counted_to = position
        return self._line
