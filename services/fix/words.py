"""FIX codes and the words of our contracts for them, one table per tag.

Names are those of "FIX 4.4 with Errata 20030618", volume 6, in upper snake case; codes that only FIX 5.0 has are marked
by a comment. A code that a table does not have is refused where rules depend on it (side, execution type, order
status), and passed on as CODE_<code> where it only informs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from operators.model.events import ExecType, Liquidity, OrdStatus, Side

MESSAGE_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0": "Heartbeat",
        "1": "TestRequest",
        "2": "ResendRequest",
        "3": "Reject",
        "4": "SequenceReset",
        "5": "Logout",
        "8": "ExecutionReport",
        "9": "OrderCancelReject",
        "A": "Logon",
        "D": "NewOrderSingle",
        "F": "OrderCancelRequest",
        "G": "OrderCancelReplaceRequest",
        "H": "OrderStatusRequest",
        "Q": "DontKnowTrade",
        "j": "BusinessMessageReject",
    }
)
"""MsgType(35): names of those that are likely in an order session's log."""

SIDES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1": Side.BUY.value,
        "2": Side.SELL.value,
        "5": Side.SELL_SHORT.value,
        "6": Side.SELL_SHORT_EXEMPT.value,
    }
)
"""Side(54). The others (crosses, buy minus, sell plus, undisclosed, ...) are no side that the rules know."""

ORDER_STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0": OrdStatus.NEW.value,
        "1": OrdStatus.PARTIALLY_FILLED.value,
        "2": OrdStatus.FILLED.value,
        "3": OrdStatus.DONE_FOR_DAY.value,
        "4": OrdStatus.CANCELED.value,
        "5": OrdStatus.REPLACED.value,  # until FIX 4.2
        "6": OrdStatus.PENDING_CANCEL.value,
        "7": OrdStatus.STOPPED.value,
        "8": OrdStatus.REJECTED.value,
        "9": OrdStatus.SUSPENDED.value,
        "A": OrdStatus.PENDING_NEW.value,
        "B": OrdStatus.CALCULATED.value,
        "C": OrdStatus.EXPIRED.value,
        "D": OrdStatus.ACCEPTED_FOR_BIDDING.value,
        "E": OrdStatus.PENDING_REPLACE.value,
    }
)
"""OrdStatus(39)."""

EXECUTION_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0": ExecType.NEW.value,
        "1": ExecType.TRADE.value,  # PartialFill, until FIX 4.2
        "2": ExecType.TRADE.value,  # Fill, until FIX 4.2
        "3": ExecType.DONE_FOR_DAY.value,
        "4": ExecType.CANCELED.value,
        "5": ExecType.REPLACED.value,
        "6": ExecType.PENDING_CANCEL.value,
        "7": ExecType.STOPPED.value,
        "8": ExecType.REJECTED.value,
        "9": ExecType.SUSPENDED.value,
        "A": ExecType.PENDING_NEW.value,
        "B": ExecType.CALCULATED.value,
        "C": ExecType.EXPIRED.value,
        "D": ExecType.RESTATED.value,
        "E": ExecType.PENDING_REPLACE.value,
        "F": ExecType.TRADE.value,
        "G": ExecType.TRADE_CORRECT.value,
        "H": ExecType.TRADE_CANCEL.value,
        "I": ExecType.ORDER_STATUS.value,
        "J": ExecType.TRADE_IN_CLEARING_HOLD.value,  # FIX 5.0
        "K": ExecType.TRADE_RELEASED_TO_CLEARING.value,  # FIX 5.0
        "L": ExecType.TRIGGERED.value,  # FIX 5.0
    }
)
"""ExecType(150). Where it is missing (FIX 4.0), OrdStatus(39) stands in, whose codes mean the same."""

EXECUTION_TRANSACTION_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1": ExecType.TRADE_CANCEL.value,
        "2": ExecType.TRADE_CORRECT.value,
        "3": ExecType.ORDER_STATUS.value,
    }
)
"""ExecTransType(20), until FIX 4.2: overrides ExecType. 0 is New: ExecType then says what happened."""

ORDER_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1": "MARKET",
        "2": "LIMIT",
        "3": "STOP",
        "4": "STOP_LIMIT",
        "5": "MARKET_ON_CLOSE",
        "6": "WITH_OR_WITHOUT",
        "7": "LIMIT_OR_BETTER",
        "8": "LIMIT_WITH_OR_WITHOUT",
        "9": "ON_BASIS",
        "A": "ON_CLOSE",
        "B": "LIMIT_ON_CLOSE",
        "D": "PREVIOUSLY_QUOTED",
        "E": "PREVIOUSLY_INDICATED",
        "I": "FUNARI",
        "J": "MARKET_IF_TOUCHED",
        "K": "MARKET_WITH_LEFT_OVER_AS_LIMIT",
        "P": "PEGGED",
    }
)
"""OrdType(40). The rules know the first four; the word of another reaches them, and they say what they make of it."""

TIMES_IN_FORCE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0": "DAY",
        "1": "GOOD_TILL_CANCEL",
        "2": "AT_THE_OPENING",
        "3": "IMMEDIATE_OR_CANCEL",
        "4": "FILL_OR_KILL",
        "5": "GOOD_TILL_CROSSING",
        "6": "GOOD_TILL_DATE",
        "7": "AT_THE_CLOSE",
    }
)
"""TimeInForce(59). Absent on a new order means DAY."""

LIQUIDITY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1": Liquidity.ADDED.value,
        "2": Liquidity.REMOVED.value,
        "3": Liquidity.ROUTED.value,
        "4": Liquidity.AUCTION.value,
    }
)
"""LastLiquidityInd(851). Another code leaves liquidity unknown, and the import counts it."""

RESTATEMENT_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0": "GT_CORPORATE_ACTION",
        "1": "GT_RENEWAL",
        "2": "VERBAL_CHANGE",
        "3": "REPRICING",
        "4": "BROKER_OPTION",
        "5": "PARTIAL_DECLINE",
        "6": "CANCEL_ON_TRADING_HALT",
        "7": "CANCEL_ON_SYSTEM_FAILURE",
        "8": "MARKET_OPTION",
        "9": "CANCELED_NOT_BEST",
        "10": "WAREHOUSE_RECAP",
        "99": "OTHER",
    }
)
"""ExecRestatementReason(378)."""

CANCEL_REJECT_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0": "TOO_LATE_TO_CANCEL",
        "1": "UNKNOWN_ORDER",
        "2": "BROKER_OPTION",
        "3": "ALREADY_PENDING",
        "4": "UNABLE_TO_PROCESS_MASS_CANCEL",
        "5": "ORIG_ORD_MOD_TIME_MISMATCH",
        "6": "DUPLICATE_CL_ORD_ID",
        "99": "OTHER",
    }
)
"""CxlRejReason(102)."""

ORDER_REJECT_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0": "BROKER_OPTION",
        "1": "UNKNOWN_SYMBOL",
        "2": "EXCHANGE_CLOSED",
        "3": "ORDER_EXCEEDS_LIMIT",
        "4": "TOO_LATE_TO_ENTER",
        "5": "UNKNOWN_ORDER",
        "6": "DUPLICATE_ORDER",
        "7": "DUPLICATE_OF_VERBAL_ORDER",
        "8": "STALE_ORDER",
        "9": "TRADE_ALONG_REQUIRED",
        "10": "INVALID_INVESTOR_ID",
        "11": "UNSUPPORTED_ORDER_CHARACTERISTIC",
        "12": "SURVEILLANCE_OPTION",
        "13": "INCORRECT_QUANTITY",
        "14": "INCORRECT_ALLOCATED_QUANTITY",
        "15": "UNKNOWN_ACCOUNT",
        "99": "OTHER",
    }
)
"""OrdRejReason(103)."""


def word(table: Mapping[str, str], code: str) -> str:
    """The word for a code that only informs; CODE_<code> if the table does not have it."""
    return table.get(code) or f"CODE_{code}"
