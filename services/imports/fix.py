"""Reads a FIX engine's log into intents, engine statuses and execution reports.

Messages are found, taken apart and translated by `services.fix`; here they get their order, their numbers and their
place in a batch. What a message becomes:

    D F G            intent, and a status of the engine that asked: PENDING_NEW, PENDING_CANCEL, PENDING_REPLACE
    8 9              execution report, and a status where it changes the engine's order
    0 1 2 3 4 5 A j  counted; rejects of the session (3) and of the business level (j) as anomalies besides
    others           counted, nothing written

What cannot be read or says too little is a dead letter with the file's name as topic, partition 0, and the offset of
its first byte. Persons and secrets in it are masked; the position leads to the original.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from config.errors import DecodeError, InvalidRecordError
from operators.model.events import ExecType
from operators.stream.records import DeadLetter
from services.fix.chains import Chain, Chains, Naming, session_of, tokens, user_of
from services.fix.dialect import Envelope, Refusal, execution_of, intent_of
from services.fix.fields import Fields, poss_resend
from services.fix.framing import Frame, Rest, frames
from services.fix.message import Message, parse
from services.fix.statuses import learn_report, learn_request, shows_lost_replace, status_of_report, status_of_request
from services.fix.words import LIQUIDITY, MESSAGE_TYPES
from services.imports.common import (
    BATCH_MESSAGES,
    OTHER_SESSION,
    OTHER_TEXT,
    STANDARD_INPUT,
    Batch,
    InputFile,
    Malformed,
)

LETTER_BYTES_MAX: Final = 64 * 1024
"""How much of a piece a dead letter holds: a binary file taken for a log must not be copied into the log."""

_REQUESTS: Final = frozenset("DFG")
_ANSWERS: Final = frozenset("89")
_REJECTS: Final = {"3": "session_reject", "j": "business_reject"}
_FILLS: Final = frozenset({ExecType.TRADE.value, ExecType.TRADE_CORRECT.value, ExecType.TRADE_CANCEL.value})
# SubIDs, OnBehalfOf and DeliverTo ids, party ids, user name and passwords, and what a logon may carry as raw data; up
# to a separator that ends the piece or is followed by a tag.
_MASKED: Final = re.compile(
    rb"((?:^|[\x01|;]|\^A)(?:50|57|96|115|116|128|129|448|553|554|925)=)"
    rb"[^\x01\n]*?(?=\x01|\r?\n|\Z|(?:[|;]|\^A)(?:\d+=|\r?\n|\Z))"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What FIX leaves open.

    `name` stands for the file in sources and dead letters, by default its own name. `counterparties` are the CompIDs
    whose sessions are read; none means all. `strict` refuses messages whose CheckSum or BodyLength is wrong.
    """

    name: str | None = None
    naming: Naming = field(default_factory=Naming)
    counterparties: Collection[str] = ()
    strict: bool = False
    token_key: bytes = b""


def read(path: Path, options: Options | None = None, *, batch_messages: int = BATCH_MESSAGES) -> Iterator[Batch]:
    """The log's messages, in batches; plain or .gz, or standard input (`-`). Memory grows with the log's orders."""
    options = options or Options()
    default = "stdin" if path == STANDARD_INPUT else path.name.removesuffix(".gz")
    messages = Messages(options.name or default, options)
    waiting = 0
    with InputFile(path) as file:
        for piece in frames(file.read):
            messages.handle(piece)
            waiting += 1
            if waiting >= batch_messages:
                yield _measured(messages.take_batch(), file)
                waiting = 0
        if file.error is not None:
            messages.batch.malformed.append(Malformed(file.bytes_done, file.error))
        yield _measured(messages.take_batch(), file)


def _measured(batch: Batch, file: InputFile) -> Batch:
    batch.bytes_done, batch.bytes_total = file.bytes_done, file.bytes_total
    return batch


class Messages:
    """The meaning of each message, on the orders that the log has shown so far."""

    def __init__(self, name: str, options: Options) -> None:
        self.batch = Batch()
        self._name = name
        self._source = f"import-fix:{name}"
        self._options = options
        self._chains = Chains(options.naming)
        self._token = tokens(options.token_key)

    def take_batch(self) -> Batch:
        """The batch so far; a new one begins."""
        done, self.batch = self.batch, Batch()
        return done

    def handle(self, piece: Frame | Rest) -> None:
        """Takes in the next piece of the log."""
        if isinstance(piece, Rest):
            if piece.reason is None:
                self.batch.messages[OTHER_TEXT] += 1
            else:
                self._dead_letter(piece, DecodeError, piece.reason)
            return
        message = parse(piece.content, piece.separator)
        if isinstance(message, str):
            self._dead_letter(piece, DecodeError, message)
            return
        refusal = self._wrong(piece, message) or self._message(message.fields)
        if refusal is not None:
            self._dead_letter(piece, InvalidRecordError, refusal.reason)

    def _wrong(self, frame: Frame, message: Message) -> Refusal | None:
        """What is wrong with a message as a whole: counted, and a reason to refuse it if need be."""
        if message.repeated is not None:
            self.batch.anomalies["repeated_tag"] += 1
            if message.ambiguous:
                return Refusal(f"tag {message.repeated} occurs more than once, with different values")
        if not frame.length_ok:
            self.batch.anomalies["wrong_body_length"] += 1
        if not message.checksum_ok:
            self.batch.anomalies["wrong_checksum"] += 1
        if self._options.strict and not (frame.length_ok and message.checksum_ok):
            return Refusal("CheckSum(10) or BodyLength(9) is wrong")
        return None

    def _message(self, fields: Fields) -> Refusal | None:
        kind = fields.get("35")
        if kind is None:
            return Refusal("MsgType(35) is missing")
        wanted = self._options.counterparties
        if wanted and fields.get("49") not in wanted and fields.get("56") not in wanted:
            self.batch.messages[OTHER_SESSION] += 1
            return None
        self.batch.messages[MESSAGE_TYPES.get(kind) or f"MsgType_{kind}"] += 1
        if kind in _ANSWERS:
            return self._answer(fields)
        if kind in _REQUESTS:
            return self._request(fields)
        if kind in _REJECTS:
            self.batch.anomalies[_REJECTS[kind]] += 1
        return None

    def _answer(self, fields: Fields) -> Refusal | None:
        chain = self._chain(fields)
        if isinstance(chain, Refusal):
            return chain
        report = execution_of(fields, chain, self._envelope(fields, chain.executions + 1))
        if isinstance(report, Refusal):
            return report
        chain.executions += 1
        follows_gap = self._chains.remember(chain, fields) and shows_lost_replace(chain, report)
        self.batch.executions.append(msgspec.to_builtins(report))
        if report.liquidity is None and fields.get("851", "1") not in LIQUIDITY:
            self.batch.anomalies["unknown_liquidity"] += 1
        if report.exec_type in _FILLS:
            is_new = not poss_resend(fields) or report.cum_quantity > chain.filled
        else:
            is_new = self._chains.is_new(fields, chain)
        if is_new:
            learn_report(chain, report)
            status = status_of_report(chain, report, self._source, lost_replace=follows_gap)
            if status is not None:
                self.batch.statuses.append(msgspec.to_builtins(status))
        return None

    def _request(self, fields: Fields) -> Refusal | None:
        chain = self._chain(fields)
        if isinstance(chain, Refusal):
            return chain
        token = self._token(user_of(fields))
        intent = intent_of(fields, chain, self._envelope(fields, chain.intents + 1, token))
        if isinstance(intent, Refusal):
            return intent
        chain.intents += 1
        self._chains.remember(chain, fields)
        self.batch.intents.append(msgspec.to_builtins(intent))
        if self._chains.is_new(fields, chain):
            learn_request(chain, intent)
            status = status_of_request(chain, intent, self._source)
            if status is not None:
                self.batch.statuses.append(msgspec.to_builtins(status))
        return None

    def _chain(self, fields: Fields) -> Chain | Refusal:
        try:
            return self._chains.find(fields) or self._chains.start(fields)
        except ValueError as error:
            return Refusal(str(error))

    def _envelope(self, fields: Fields, sequence: int, user_token: str = "") -> Envelope:
        request = fields.get("11")
        client = fields.get("56" if fields["35"] in _ANSWERS else "49", "")
        return Envelope(
            sequence=sequence,
            source=self._source,
            session=session_of(fields, self._token),
            user_token=user_token,
            correlation_id=f"{client}:{request}" if request else None,
        )

    def _dead_letter(self, piece: Frame | Rest, error: type[Exception], reason: str) -> None:
        content = piece.content
        if len(content) > LETTER_BYTES_MAX:
            reason += f"; the first {LETTER_BYTES_MAX} of its {len(content)} bytes are kept"
        message = f"line {piece.line}: {reason}"
        self.batch.malformed.append(Malformed(piece.offset, message))
        self.batch.letters.append(
            DeadLetter(
                topic=self._name,
                partition=0,
                offset=piece.offset,
                key=None,
                value=masked(content[:LETTER_BYTES_MAX]),
                headers=(),
                step="fix",
                error=error.__name__,
                message=message,
            )
        )


def masked(content: bytes) -> bytes:
    """A piece of a log without the names and secrets in it, whatever its separator."""
    return _MASKED.sub(rb"\1***", content)
