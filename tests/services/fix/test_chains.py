"""Whatever id a message names its order by, all messages of a chain get one order; other orders stay apart."""

from __future__ import annotations

import pytest

from services.fix.chains import Chain, Chains, Naming, session_of, tokens, user_of

Fields = dict[str, str]


def message(kind: str, **tags: str) -> Fields:
    """A message between DESK and XNYS, sent by whoever sends this kind."""
    sender, target = ("XNYS", "DESK") if kind in "89" else ("DESK", "XNYS")
    fields = {"35": kind, "49": sender, "56": target, "52": "20261120-14:30:00"}
    return fields | {name.removeprefix("t"): value for name, value in tags.items()}


def take(chains: Chains, fields: Fields) -> Chain:
    chain = chains.find(fields) or chains.start(fields)
    chains.remember(chain, fields)
    return chain


def keys(*messages: Fields, naming: Naming | None = None) -> list[str]:
    chains = Chains(naming or Naming(account="A"))
    return [take(chains, fields).key for fields in messages]


@pytest.mark.parametrize(
    "chain",
    [
        [message("D", t11="1"), message("8", t11="1", t37="X"), message("G", t11="2", t41="1"), message("8", t11="2")],
        [message("D", t11="1"), message("F", t11="2", t41="1"), message("9", t11="2", t41="1", t37="NONE")],
        [message("8", t11="1", t37="X"), message("8", t11="3", t37="X"), message("F", t11="4", t41="3")],
        [message("8", t11="2", t41="1"), message("8", t11="1"), message("8", t11="3", t41="2")],
        [message("D", t11="1"), message("8", t11="1", t37="X"), message("8", t37="X")],
        [message("8", t11="1", t37="X"), message("8", t11="7", t41="6", t37="X"), message("8", t11="6")],
        [message("D", t11="1"), message("8", t11="1", t41="NONE"), message("D", t11="1", t97="Y")],
    ],
)
def test_all_messages_of_a_chain_have_the_first_id_as_their_order(chain: list[Fields]) -> None:
    assert set(keys(*chain)) == {"A|1"}


def test_a_report_without_any_client_id_is_of_the_venue_s_order() -> None:
    assert keys(message("8", t37="X"), message("8", t37="X", t11="1")) == ["A|X", "A|X"]


def test_none_is_no_id() -> None:
    first = message("8", t11="1", t37="NONE", t41="0")
    assert keys(first, message("8", t11="2", t37="NONE", t41="0")) == ["A|1", "A|2"]
    with pytest.raises(ValueError, match="names no order"):
        Chains(Naming()).start(message("8", t37="NONE"))


def test_the_request_that_a_message_acts_on_goes_before_its_own_id() -> None:
    reused = message("9", t11="2", t41="1", t102="6")
    assert keys(message("D", t11="1"), message("D", t11="2"), reused)[-1] == "A|1"


def test_ids_are_between_two_firms() -> None:
    other = message("D", t11="1") | {"56": "XNAS"}
    assert keys(message("D", t11="1"), other, other) == ["A|1", "A|1@DESK-XNAS", "A|1@DESK-XNAS"]


def test_an_id_used_again_on_a_later_day_is_another_order_once_the_first_has_ended() -> None:
    later = message("D", t11="1") | {"52": "20261121-14:30:00"}
    chains = Chains(Naming(account="A"))
    first = take(chains, message("D", t11="1"))
    first.last_at = 1_795_185_000_000_000
    assert take(chains, later) is first
    first.engine_code = "CANCELED"
    assert take(chains, message("D", t11="1")) is first
    assert take(chains, later | {"43": "Y"}) is first
    assert take(chains, later).key == "A|1.20261121"
    assert take(chains, message("8", t11="1")).key == "A|1.20261121"


def test_the_account_is_the_first_that_was_named_then_the_default_then_a_hash() -> None:
    assert keys(message("D", t11="1", t1="B"), message("8", t11="1", t1="C")) == ["B|1", "B|1"]
    assert keys(message("D", t11="1", t1="B"), message("8", t11="1")) == ["B|1", "B|1"]
    [one, again, other] = keys(
        message("D", t11="1"), message("8", t11="1"), message("D", t11="2"), naming=Naming(accounts=10**6)
    )
    assert one == again
    assert one.split("|")[0] != other.split("|")[0]
    with pytest.raises(ValueError, match="bar"):
        Chains(Naming()).start(message("D", t11="1", t1="B|C"))


def test_a_prefix_goes_before_the_order_id() -> None:
    assert keys(message("D", t11="1"), naming=Naming(account="A", prefix="20261120-")) == ["A|20261120-1"]


def test_the_venue_is_the_destination_then_the_default_then_the_counterparty() -> None:
    start = Chains(Naming()).start
    assert start(message("8", t11="1")).venue == start(message("D", t11="1")).venue == "XNYS"
    assert start(message("D", t11="1", t100="ARCX")).venue == "ARCX"
    assert Chains(Naming(venue="XBOS")).start(message("D", t11="1")).venue == "XBOS"


def test_a_session_has_the_venue_s_sub_id_as_a_token_and_not_the_client_s() -> None:
    token = tokens(b"key")
    assert session_of(message("8", t57="jdoe"), token) == "XNYS->DESK"
    assert session_of(message("D", t50="jdoe"), token) == "DESK->XNYS"
    assert session_of(message("8", t50="GW1"), token) == f"XNYS/{token('GW1')}->DESK"
    assert session_of(message("D", t57="GW1"), token) == f"DESK->XNYS/{token('GW1')}"


def test_tokens_depend_on_name_and_key_only() -> None:
    assert tokens(b"a")("jdoe") == tokens(b"a")("jdoe") != tokens(b"b")("jdoe") != tokens(b"b")("asmith")
    assert "jdoe" not in tokens()("jdoe")
    assert tokens()("") == "USR-NONE"


def test_the_user_is_the_one_closest_to_the_request() -> None:
    fields = message("D", t50="sub", t115="firm", t116="person")
    assert user_of(fields) == "person"
    assert user_of({**fields, "116": ""}) == "firm"
    assert user_of(message("D", t50="sub")) == "sub"
    assert user_of(message("D")) == ""
