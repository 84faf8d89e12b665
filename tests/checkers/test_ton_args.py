"""Providers, addresses and the arguments of the reconciliation: wrong ones are found by `dozor check`."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ton_core import Address

from dozor.arguments import ArgumentProblem, argument_problems
from dozor.errors import Fatal
from dozor.language import Language
from dozor.language.process import language_for_now
from dozor_market.arguments.ton import PROVIDER_KEYS, PROVIDER_KINDS, is_address, raw_form
from dozor_market.demo.chain import OUR_WALLET
from dozor_market.reconcile import read_reconcile_amounts, reconcile
from dozor_market.ton.messages.transactions import raw_address
from dozor_market.ton.providers.port import ProviderKind, ProviderOptions
from dozor_market.ton_deposits import check_transactions, provider_options

ADDRESS = OUR_WALLET.to_str()
RAW = OUR_WALLET.to_str(is_user_friendly=False)
TEST_ONLY = OUR_WALLET.to_str(is_test_only=True)
OTHER = Address((0, b"\x21" * 32)).to_str()
THIRD = Address((-1, b"\x22" * 32)).to_str()
RIGHT: list[dict[str, Any]] = [
    {},
    {"wallet": ADDRESS, "jettons": {"USDT": {"master": OTHER}, "NOT": THIRD}},
    {"wallet": ADDRESS, "testnet": True},
    {"wallet": None, "jettons": None, "testnet": True, "blocks_from": 1, "reread_after": 0},
    {"wallet": RAW},
    {"wallet": OUR_WALLET.to_str(is_url_safe=False, is_bounceable=False, is_test_only=True), "testnet": True},
    {"providers": [{"kind": "tonapi", "api_key": ""}]},
    {"providers": [{"kind": "toncenter", "api_key": "k", "rps": 10}, {"kind": "tonapi"}, {"kind": "lite"}]},
    {"providers": [{"kind": "toncenter", "url": "http://127.0.0.1:8081/api/v2", "timeout": 2.5}]},
    {"providers": [{"kind": "tonapi", "api_key": None, "url": None, "rps": None}]},
]
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"providers": []}, "providers", "list of providers"),
    ({"providers": None}, "providers", "list of providers"),
    ({"providers": "toncenter"}, "providers", "list of providers"),
    ({"providers": {"kind": "toncenter"}}, "providers", "list of providers"),
    ({"providers": ["toncenter"]}, "providers.0", "a provider is expected"),
    ({"providers": [{}]}, "providers.0", "not None"),
    ({"providers": [{"kind": "toncentre"}]}, "providers.0.kind", "toncenter, tonapi, lite"),
    ({"providers": [{"kind": ["lite"]}]}, "providers.0.kind", "toncenter, tonapi, lite"),
    ({"providers": [{"kind": "lite"}, {"kind": "lite", "key": 1}]}, "providers.1.key", "api_key"),
    ({"providers": [{"kind": "tonapi", "rps": 0}]}, "providers.0.rps", "at least 1"),
    ({"providers": [{"kind": "tonapi", "rps": "10"}]}, "providers.0.rps", "at least 1"),
    ({"providers": [{"kind": "tonapi", "rps": True}]}, "providers.0.rps", "at least 1"),
    ({"providers": [{"kind": "tonapi", "timeout": 0}]}, "providers.0.timeout", "above 0"),
    ({"providers": [{"kind": "tonapi", "api_key": 5}]}, "providers.0.api_key", "in quotes"),
    ({"providers": [{"kind": "tonapi", "api_key": "s3cret\n"}]}, "providers.0.api_key", "line break"),
    ({"providers": [{"kind": "tonapi", "api_key": "s3cret k"}]}, "providers.0.api_key", "a space"),
    ({"providers": [{"kind": "tonapi", "api_key": "s3cretк"}]}, "providers.0.api_key", "not ASCII"),
    ({"providers": [{"kind": "tonapi", "url": "tonapi.io"}]}, "providers.0.url", "https://"),
    ({"providers": [{"kind": "tonapi", "url": "https://x:y"}]}, "providers.0.url", "https://"),
    ({"providers": [{"kind": "tonapi", "url": "https://x?key=s3cret"}]}, "providers.0.url", "api_key"),
    ({"providers": [{"kind": "tonapi", "url": 7}]}, "providers.0.url", "https://"),
    ({"testnet": "yes"}, "testnet", "true or false"),
    ({"wallet": ADDRESS[:-1]}, "wallet", "copied in full"),
    ({"wallet": ADDRESS[:-1] + ("A" if ADDRESS[-1] != "A" else "B")}, "wallet", "copied in full"),
    ({"wallet": ""}, "wallet", "copied in full"),
    ({"wallet": 5}, "wallet", "copied in full"),
    ({"wallet": f"1:{'0a' * 32}"}, "wallet", "copied in full"),
    ({"wallet": TEST_ONLY}, "wallet", "test network"),
    ({"wallet": TEST_ONLY, "testnet": False}, "wallet", "test network"),
    ({"wallet": RAW, "jettons": {"USDT": ADDRESS}}, "jettons.USDT", "wallet has already"),
    ({"wallet": ADDRESS, "jettons": {"USDT": OTHER, "NOT": OTHER}}, "jettons.NOT", "USDT has already"),
    (
        {"wallet": ADDRESS, "jettons": {"USDT": {"master": OTHER}, "NOT": {"master": OTHER}}},
        "jettons.NOT.master",
        "jettons.USDT.master has already",
    ),
    (
        {"wallet": ADDRESS, "jettons": {"USDT": f"0:{'2A' * 32}", "NOT": f"0:{'2a' * 32}"}},
        "jettons.NOT",
        "jettons.USDT has already",
    ),
    ({"wallet": ADDRESS, "jettons": [ADDRESS]}, "jettons", "by currency"),
    ({"wallet": ADDRESS, "jettons": {"USDT": None}}, "jettons.USDT", "wallet and master"),
    ({"wallet": ADDRESS, "jettons": {"USDT": {}}}, "jettons.USDT", "wallet and master"),
    ({"wallet": ADDRESS, "jettons": {"USDT": {"minter": OTHER}}}, "jettons.USDT", "wallet and master"),
    ({"wallet": ADDRESS, "jettons": {"USDT": {"master": "EQ"}}}, "jettons.USDT.master", "copied in full"),
    ({"wallet": ADDRESS, "jettons": {"USDT": "EQ"}}, "jettons.USDT", "copied in full"),
    ({"wallet": ADDRESS, "jettons": {"usdt": OTHER}}, "jettons.usdt", "in capitals"),
    ({"wallet": ADDRESS, "jettons": {"TON": OTHER}}, "jettons.TON", "can be a jetton"),
    ({"jettons": {"USDT": ADDRESS}}, "jettons", "give wallet"),
    ({"blocks_from": 0}, "blocks_from", "at least 1"),
    ({"frozen_after": None}, "frozen_after", "seconds"),
    ({"reread_after": -1}, "reread_after", "seconds"),
]
RIGHT_RECONCILE: list[dict[str, Any]] = [
    {},
    {"expected": None},
    {"expected": {"TON": -5, "USDT": "-1.5 USDT", "NOT": 7}, "recheck": 0},
    {"fee_per_transaction": "0.004 TON", "recheck": 2.5},
]
WRONG_RECONCILE: list[tuple[dict[str, Any], str, str]] = [
    ({"expected": {"TON": 1.5}}, "expected.TON", "fraction"),
    ({"expected": {"TON": None}}, "expected.TON", "missing"),
    ({"expected": {"TON": "-5"}}, "expected.TON", "without a unit"),
    ({"expected": {"TON": "--5 TON"}}, "expected.TON", "below zero"),
    ({"expected": {"TON": -(2**63)}}, "expected.TON", "more than the ledger"),
    ({"expected": {"TON": "5 USDT"}}, "expected.TON", "not in TON"),
    ({"expected": [1]}, "expected", "by currency"),
    ({"fee_per_transaction": -1}, "fee_per_transaction", "below zero"),
    ({"fee_per_transaction": None}, "fee_per_transaction", "missing"),
    ({"fee_per_transaction": True}, "fee_per_transaction", "no amount"),
    ({"recheck": -1}, "recheck", "seconds"),
    ({"recheck": "10s"}, "recheck", "seconds"),
    ({"providers": [{"kind": "ton"}]}, "providers.0.kind", "toncenter, tonapi, lite"),
    ({"testnet": 1}, "testnet", "true or false"),
]


def found(function: object, args: dict[str, Any], language: Language = Language.EN) -> list[ArgumentProblem]:
    with language_for_now(language):
        return argument_problems(function, args)


@pytest.mark.parametrize("args", RIGHT)
def test_right_arguments_of_the_deposits_checker_are_taken(args: dict[str, Any]) -> None:
    assert found(check_transactions, args) == []
    if "providers" in args:
        provider_options(args["providers"])


@pytest.mark.parametrize(
    ("args", "place", "said"), WRONG, ids=[f"{place} {said}" for _, place, said in WRONG]
)
def test_wrong_arguments_of_the_deposits_checker_are_named(
    args: dict[str, Any], place: str, said: str
) -> None:
    (problem,) = found(check_transactions, args)
    assert ".".join(map(str, problem.place)) == place
    assert said in problem.text
    assert "s3cret" not in problem.text
    (russian,) = found(check_transactions, args, Language.RU)
    assert re.search("[а-я]", russian.text)
    if args.get("providers"):
        with pytest.raises(Fatal):
            provider_options(args["providers"])


@pytest.mark.parametrize("args", RIGHT_RECONCILE)
def test_right_arguments_of_the_reconciliation_are_taken(args: dict[str, Any]) -> None:
    assert found(reconcile, args) == []


@pytest.mark.parametrize(
    ("args", "place", "said"), WRONG_RECONCILE, ids=[f"{place} {said}" for _, place, said in WRONG_RECONCILE]
)
def test_wrong_arguments_of_the_reconciliation_are_named(args: dict[str, Any], place: str, said: str) -> None:
    (problem,) = found(reconcile, args)
    assert ".".join(map(str, problem.place)) == place
    assert said in problem.text


def test_the_reconciliation_reads_its_amounts_by_the_same_rule() -> None:
    expected = {"TON": "-1.5 TON", "USDT": 7}
    amounts = read_reconcile_amounts(expected, "0.004 TON", 0)
    assert amounts == ({"TON": -1_500_000_000, "USDT": 7}, 4_000_000)
    with pytest.raises(Fatal, match=r"expected\.TON"):
        read_reconcile_amounts({"TON": 0.5}, 0, 0)


def test_the_kinds_and_keys_are_those_of_the_provider_options() -> None:
    assert set(PROVIDER_KINDS) == {kind.value for kind in ProviderKind}
    assert set(PROVIDER_KEYS) == set(ProviderOptions.__dataclass_fields__)


@given(st.sampled_from([0, -1, 1]), st.binary(min_size=32, max_size=32), st.booleans(), st.data())
def test_an_address_is_taken_exactly_when_the_library_reads_it(
    workchain: int, account: bytes, flag: bool, data: st.DataObject
) -> None:
    address = Address((workchain, account))
    texts = [
        address.to_str(is_user_friendly=False),
        address.to_str(is_url_safe=flag, is_bounceable=not flag, is_test_only=flag),
    ]
    for text in texts:
        assert is_address(text) is (workchain != 1)
        place = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.sampled_from("0aZ_-:"))
        changed = text[:place] + other + text[place + 1 :]
        assert raw_form(text) == (address.to_str(is_user_friendly=False) if workchain != 1 else None)
        if is_address(changed):
            assert raw_form(changed) == raw_address(changed)  # reads it as well


def test_random_text_is_no_address() -> None:
    assert not any(is_address(os.urandom(36).hex()[:48]) for _ in range(100))
