"""Which order a message is about: chains of ClOrdIDs, and OrderIDs where a link of the chain is missing.

A replace or cancel request has a ClOrdID(11) of its own and names the one before in OrigClOrdID(41), so an order is a
chain of them. Our order id is the first ClOrdID of the chain that the log shows, for it is known before any answer; the
venue's OrderID(37) leads to the chain where messages in between are missing. ClOrdIDs are unique between two firms, so
chains are kept per pair of client and counterparty, whichever of them sent.

Memory grows with the orders of the log, dead ones included: a bust may come at any time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from operators.model.events import order_key
from services.fix.dialect import KnownOrder
from services.fix.fields import Fields, occurred_micros, poss_resend

_DAY_MICROS: Final = 86_400_000_000
_NO_ORDER_IDS: Final = frozenset({"", "0", "NONE", "UNKNOWN", "N/A", "[N/A]"})
"""What venues write into OrderID(37) and OrigClOrdID(41) when there is none."""

_FROM_VENUE: Final = frozenset({"8", "9"})


@dataclass(slots=True)
class Chain(KnownOrder):
    """An order with what numbering and the engine's view of it need."""

    intents: int = 0
    statuses: int = 0
    executions: int = 0
    engine_code: str | None = None
    """OrdStatus that the engine said last."""
    settled_code: str | None = None
    """The last one that was not pending: what a rejected request falls back to."""
    said: tuple[object, ...] = ()
    """The terms that went with `engine_code`."""
    last_at: int = 0

    @property
    def ended(self) -> bool:
        """True if the engine holds it for dead, or it is filled."""
        return self.engine_code in ("CANCELED", "EXPIRED", "REJECTED") or 0 < (self.quantity or 0) <= self.filled


@dataclass(slots=True)
class _Link:
    """What two firms said to each other."""

    by_request: dict[str, Chain] = field(default_factory=dict)
    by_order_id: dict[str, Chain] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    """Requests, and answers that are no fills, that were taken in."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How orders get what FIX need not tell.

    `account` is that of messages without Account(1); without it they are spread over `accounts` by a hash. `prefix`
    goes before order ids, `venue` stands for the counterparty's CompID as venue.
    """

    account: str | None = None
    accounts: int = 500
    prefix: str = ""
    venue: str | None = None


class Chains:
    """All orders of a log by the ids that messages name them by."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._links: dict[str, _Link] = {}
        self._keys: set[str] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, fields: Fields) -> Chain | None:
        """The order that a message is about, asked by OrigClOrdID, ClOrdID, OrderID; None if nothing before it was."""
        link = self._link(fields)
        request, original, order_id = fields.get("11", ""), fields.get("41", ""), fields.get("37", "")
        chain = None
        if original not in _NO_ORDER_IDS:
            chain = link.by_request.get(original)
        if chain is None:
            chain = link.by_request.get(request)
        if chain is None and order_id not in _NO_ORDER_IDS:
            chain = link.by_order_id.get(order_id)
        if chain is not None and fields["35"] == "D" and self._is_another_order(chain, fields):
            return None
        return chain

    def start(self, fields: Fields) -> Chain:
        """A new order, not remembered before `remember`. `ValueError` if the message has no id or a wrong account."""
        ids = [fields.get(tag, "") for tag in ("41", "11", "37")]
        first = next((text for text in ids if text not in _NO_ORDER_IDS), None)
        if first is None:
            raise ValueError("it names no order: ClOrdID(11), OrigClOrdID(41) and OrderID(37) are missing")
        order_id = self._naming.prefix + first
        account = fields.get("1") or self._naming.account or self._account_by_hash(order_id)
        if "|" in account:
            raise ValueError(f"Account(1)={account!r} has a bar, which the keys of our records use")
        if first in self._link(fields).by_request:  # a new day has begun, and with it the ids
            order_id = f"{order_id}.{_day(fields)}"
        if order_key(account, order_id) in self._keys:
            order_id = f"{order_id}@{link_of(fields)}"
        venue = fields.get("100") or self._naming.venue or venue_of(fields)
        return Chain(key=order_key(account, order_id), account_id=account, order_id=order_id, venue=venue)

    def remember(self, chain: Chain, fields: Fields) -> bool:
        """The message's ids lead to its order from now on; True if its ClOrdID was not seen before."""
        link = self._link(fields)
        self._keys.add(chain.key)
        request = fields.get("11", "")
        is_new = request not in _NO_ORDER_IDS and request not in link.by_request
        for tag in ("11", "41"):
            text = fields.get(tag, "")
            if text in _NO_ORDER_IDS:
                continue
            if fields["35"] == "D":
                link.by_request[text] = chain
            else:
                link.by_request.setdefault(text, chain)
        order_id = fields.get("37", "")
        if order_id not in _NO_ORDER_IDS:
            link.by_order_id[order_id] = chain
        return is_new

    def is_new(self, fields: Fields, chain: Chain) -> bool:
        """True the first time that a request, or an answer that is no fill, is asked about."""
        request = fields.get("11")
        told = f"{chain.key} {fields['35']} {request} {fields.get('17')} {fields.get('150')} {fields.get('39')}"
        seen = self._link(fields).seen
        if told in seen:
            return False
        seen.add(told)
        return True

    def _link(self, fields: Fields) -> _Link:
        name = link_of(fields)
        link = self._links.get(name)
        if link is None:
            link = self._links[name] = _Link()
        return link

    def _is_another_order(self, chain: Chain, fields: Fields) -> bool:
        """A ClOrdID is unique within a day only: on a later one it is a new order's, if the old one has ended."""
        if poss_resend(fields) or not chain.ended:
            return False
        try:
            return occurred_micros(fields) // _DAY_MICROS > chain.last_at // _DAY_MICROS
        except ValueError:
            return False

    def _account_by_hash(self, order_id: str) -> str:
        return f"ACC{zlib.crc32(order_id.encode()) % self._naming.accounts + 1:05d}"


def link_of(fields: Fields) -> str:
    """Client and counterparty: SenderCompID(49) and TargetCompID(56) of requests, turned round of answers."""
    sender, target = fields.get("49", ""), fields.get("56", "")
    return f"{target}-{sender}" if fields["35"] in _FROM_VENUE else f"{sender}-{target}"


def venue_of(fields: Fields) -> str:
    """The counterparty's CompID."""
    return fields.get("49" if fields["35"] in _FROM_VENUE else "56", "")


def session_of(fields: Fields, token: Callable[[str], str]) -> str:
    """SenderCompID->TargetCompID as in the message; the venue's SubID, if there is one, as a token behind its CompID.

    The client's SubID is left out: it names a person in many firms, and venues need not repeat it.
    """
    sender, target = fields.get("49", ""), fields.get("56", "")
    if fields["35"] in _FROM_VENUE:
        if sub := fields.get("50"):
            sender = f"{sender}/{token(sub)}"
    elif sub := fields.get("57"):
        target = f"{target}/{token(sub)}"
    return f"{sender}->{target}"


def user_of(fields: Fields) -> str:
    """Who sent a request, in clear: OnBehalfOfSubID(116), OnBehalfOfCompID(115) or SenderSubID(50); empty if none."""
    return fields.get("116") or fields.get("115") or fields.get("50") or ""


def tokens(key: bytes = b"") -> Callable[[str], str]:
    """Gives what makes a token of a name: the same for the same name and key, not to be turned back without the key.

    Without a key whoever can guess a name can check the guess.
    """
    known: dict[str, str] = {}

    def token(name: str) -> str:
        found = known.get(name)
        if found is None:
            digest = blake2b(name.encode(), digest_size=8, key=key[:64]).hexdigest() if name else "NONE"
            found = known[name] = f"USR-{digest}"
        return found

    return token


def _day(fields: Fields) -> str:
    """The UTC day of a message as FIX writes it, for the order id of a reused ClOrdID."""
    return (fields.get("60") or fields.get("122") or fields.get("52") or "")[:8]
