"""One FIX message taken apart: its bytes become fields by tag, with what is wrong about them.

A message is `8=BeginString 9=BodyLength 35=MsgType ... 10=CheckSum`, fields tag=value, each ended by the separator: SOH
on the wire, in logs often another. BodyLength counts the bytes behind its own field up to CheckSum's; CheckSum is the
sum of all bytes before its own field, modulo 256 (FIX 4.4 volume 2). Logs that show SOH as `|`, `;` or `^A` keep the
lengths and sums of the wire, so both are checked as if the separators were SOH.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

SOH: Final = b"\x01"

DATA_OF_LENGTH: Final[Mapping[bytes, bytes]] = {
    b"90": b"91",  # SecureData
    b"93": b"89",  # Signature
    b"95": b"96",  # RawData
    b"212": b"213",  # XmlData
    b"348": b"349",  # EncodedIssuer
    b"350": b"351",  # EncodedSecurityDesc
    b"352": b"353",  # EncodedListExecInst
    b"354": b"355",  # EncodedText
    b"356": b"357",  # EncodedSubject
    b"358": b"359",  # EncodedHeadline
    b"360": b"361",  # EncodedAllocText
    b"362": b"363",  # EncodedUnderlyingIssuer
    b"364": b"365",  # EncodedUnderlyingSecurityDesc
    b"445": b"446",  # EncodedListStatusText
    b"618": b"619",  # EncodedLegIssuer
    b"621": b"622",  # EncodedLegSecurityDesc
}
"""Tags of lengths, and of the data fields that follow them: these may hold any byte, separators included."""

_LENGTH_TAGS: Final = frozenset(tag.decode() for tag in DATA_OF_LENGTH)

_READ_TAGS: Final = """
    1 6 11 14 15 17 19 20 30 31 32 34 35 37 38 39 40 41 43 44 49 50 52 54 55 56 57 58 59 60 65 75 97 99 100 102 103 115
    116 122 150 151 378 424 425 426 851
"""
SINGLE: Final = frozenset(_READ_TAGS.split())
"""Tags that we read, none of them in a repeating group: a second, different value makes a message ambiguous."""


class Message(NamedTuple):
    """A message taken apart. Of a tag that occurs more than once, as in repeating groups, the first value is kept."""

    fields: dict[str, str]
    checksum_ok: bool
    repeated: str | None = None
    """A tag that must be single and occurs more than once."""
    ambiguous: bool = False
    """True if a repeated tag's values differ."""


def parse(content: bytes, separator: bytes = SOH) -> Message | str:
    """Takes a message apart, from `8=` to its last separator; the reason if that is impossible.

    `separator` is SOH, `|` or `;`; a log with `^A` is turned into SOH before.
    """
    text = _text(content)
    mark = separator.decode()
    parts = text.split(mark)
    if parts.pop():
        return "the last field has no end"
    parts.reverse()
    try:
        fields = dict([part.split("=", 1) for part in parts])
    except ValueError:
        return _parse_by_length(content, separator)
    tags = "".join(fields)
    if not (tags.isdecimal() and tags.isascii()) or "" in fields or not _LENGTH_TAGS.isdisjoint(fields):
        return _parse_by_length(content, separator)
    checksum_ok = _checksum_ok(content, separator, len(parts), fields.get("10"))
    if len(fields) == len(parts):
        return Message(fields, checksum_ok)
    return _with_repeats([part.split("=", 1) for part in reversed(parts)], fields, checksum_ok=checksum_ok)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _parse_by_length(content: bytes, separator: bytes) -> Message | str:
    """Field by field: data fields by their lengths; what is no field belongs to the value before it."""
    pairs: list[list[bytes]] = []
    position = 0
    while position < len(content):
        equals = content.find(b"=", position)
        end = content.find(separator, position)
        tag = content[position:equals] if 0 <= equals < end else b""
        if not tag.isdigit():
            if not pairs:
                return f"{content[position : position + 20]!r} is no field, tag=value"
            if separator == SOH:
                return f"{content[position:end][:20]!r} behind tag {pairs[-1][0].decode()} is no field, tag=value"
            pairs[-1][1] += separator + content[position:end]
            position = end + len(separator)
            continue
        start = equals + 1
        if pairs and DATA_OF_LENGTH.get(pairs[-1][0]) == tag and pairs[-1][1].isdigit():
            by_length = start + int(pairs[-1][1])
            if content[by_length : by_length + len(separator)] == separator:
                end = by_length
        pairs.append([tag, content[start:end]])
        position = end + len(separator)
    texts = [[tag.decode(), _text(value)] for tag, value in pairs]
    fields = {tag: value for tag, value in reversed(texts)}  # noqa: C416  # dict() would need tuples
    checksum_ok = _checksum_ok(content, separator, len(texts), fields.get("10"))
    return _with_repeats(texts, fields, checksum_ok=checksum_ok)


def _with_repeats(pairs: list[list[str]], fields: dict[str, str], *, checksum_ok: bool) -> Message:
    seen: set[str] = set()
    repeated = None
    for tag, value in pairs:
        if tag in seen and tag in SINGLE:
            repeated = tag
            if value != fields[tag]:
                return Message(fields, checksum_ok, tag, ambiguous=True)
        seen.add(tag)
    return Message(fields, checksum_ok, repeated)


def _checksum_ok(content: bytes, separator: bytes, fields: int, reported: str | None) -> bool:
    """True if CheckSum(10), the last field, agrees with the bytes before it, each separator counted as SOH."""
    if reported is None or not reported.isdecimal():
        return False
    end = len(content) - len(reported) - 3 - len(separator)
    total = sum(content[:end]) - (fields - 1) * (separator[0] - SOH[0])
    return total % 256 == int(reported)
