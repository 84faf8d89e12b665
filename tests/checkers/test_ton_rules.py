"""Rules without a database: the limits of a single provider, and which unmatched deposits become one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dozor_market.demo.chain import OUR_WALLET, PAYER, raw
from dozor_market.ledger import MAX_AMOUNT
from dozor_market.ton.agreement.comparison import Chain, Relation, agreement, relate
from dozor_market.ton.agreement.limits import SingleSourceLimits, over_limit, read_limits
from dozor_market.ton.messages.transactions import Kind, Position, Receipt
from dozor_market.ton.unmatched import Deposit, Group, Trait, _line, group, repeated_traits

LIMITS = SingleSourceLimits({"TON": 100, "USDT": 50}, {"TON": 250, "USDT": 60}, 3600.0)
DUST = {"TON": 10}


def money(amount: int, currency: str = "TON", attached: int = 0) -> Receipt:
    return Receipt(
        Position(amount, b""), Position(0, b""), 0, Kind.TRANSFER, currency, amount, attached=attached
    )


def judge(*receipts: Receipt, used: dict[str, int] | None = None) -> tuple[list[int], dict[str, int]]:
    """Numbers of the receipts that are held, and what the others add up to."""
    held, added = over_limit(receipts, DUST, LIMITS, used or {})
    return [number for number, receipt in enumerate(receipts) if any(receipt is one for one in held)], added


def test_a_transfer_is_credited_up_to_its_limit_and_not_one_unit_beyond() -> None:
    assert judge(money(100)) == ([], {"TON": 100})
    assert judge(money(101)) == ([0], {})
    assert judge(money(50, "USDT"), money(51, "USDT")) == ([1], {"USDT": 50})


def test_the_sum_in_a_window_is_credited_up_to_its_limit_and_what_does_not_fit_uses_up_nothing() -> None:
    assert judge(money(100), money(100), money(50)) == ([], {"TON": 250})
    assert judge(money(100), money(100), money(51), money(50)) == ([2], {"TON": 250})
    assert judge(money(50), used={"TON": 200}) == ([], {"TON": 50})
    assert judge(money(51), used={"TON": 200}) == ([0], {})
    assert judge(money(100), used={"USDT": 60}) == ([], {"TON": 100})


def test_the_limits_unless_the_arguments_say_otherwise() -> None:
    found = read_limits(None, {"TON": 7}, 60)
    assert found.transaction == {"TON": 1_000_000_000_000, "USDT": 5_000_000_000}
    assert found.in_window == {"TON": 7, "USDT": 50_000_000_000}
    assert read_limits(None, None, 60).in_window["TON"] == 10_000_000_000_000


def test_a_chain_that_was_read_back_to_a_creation_knows_when_that_was() -> None:
    newest, first = money(9), replace(money(4), created=True)
    assert Chain("a", (newest, money(5), first), None).created_at == 4
    assert Chain("a", (newest, money(5)), None).created_at is None
    assert Chain("a", (), None).created_at is None


CURSOR = Position(1, b"")


def chain(*lts: int, rest: Position | None = None, name: str = "a") -> Chain:
    return Chain(name, tuple(money(lt) for lt in lts), rest)


@pytest.mark.parametrize(
    ("newer", "relation"),
    [
        (chain(9, 8, 7), Relation.CONTAINS),
        (chain(9, 8, 6), Relation.EXCLUDES),
        (chain(9, 8, rest=Position(7, b"")), Relation.CONTAINS),  # the next one that it would fetch
        (chain(9, 8, rest=Position(7, b"another")), Relation.EXCLUDES),
        (chain(9, rest=Position(8, b"")), Relation.UNKNOWN),
        (chain(9, rest=Position(6, b"")), Relation.EXCLUDES),
        (chain(9, 8), Relation.EXCLUDES),
    ],
)
def test_a_history_contains_or_excludes_another_as_far_as_it_is_known(
    newer: Chain, relation: Relation
) -> None:
    assert relate(newer, chain(7, 6, 5), CURSOR) is relation


def test_the_newest_transaction_that_two_neighbours_have_is_confirmed_and_none_that_one_alone_has() -> None:
    ahead = chain(9, rest=Position(8, b""), name="a")  # not fetched as far back as the others end
    middle, behind = chain(7, 6, 5, name="b"), chain(5, name="c")
    found = agreement([ahead, middle, behind], CURSOR, needed=2)
    assert found is not None
    assert found.chain is behind
    assert [(one.receipt.at.lt, one.providers) for one in found.unconfirmed] == [
        (6, ("b",)),
        (7, ("b",)),
        (9, ("a",)),
    ]
    assert agreement([ahead, middle], CURSOR, needed=2) is None
    alone = agreement([ahead, middle], CURSOR, needed=1)
    assert alone is not None
    assert alone.chain is ahead


def test_one_deposit_is_shown_with_its_comment_and_several_with_their_sum() -> None:
    one = deposits(1, comment="order 5", amount=3 * 10**9)
    line = _line(Group(tuple(one), None))
    assert line.startswith("3 TON to ")
    assert "order 5" in line
    assert "similar deposits" not in line
    assert _line(Group(tuple(deposits(2, amount=10**9)), None)).startswith("2 similar deposits: 2 TON")


def test_a_currency_without_a_limit_has_the_limit_zero() -> None:
    assert judge(money(1, "NOT")) == ([0], {})


def test_dust_and_what_the_ledger_cannot_hold_are_neither_held_nor_counted() -> None:
    assert judge(money(9), used={"TON": 250}) == ([], {})
    assert judge(money(10), used={"TON": 250}) == ([0], {})
    assert judge(money(MAX_AMOUNT + 1)) == ([], {})
    assert judge(money(MAX_AMOUNT)) == ([0], {})
    assert judge(money(0)) == ([], {})


def test_attached_ton_is_held_from_the_dust_limit_on_and_counted_below_it() -> None:
    assert judge(money(20, "USDT", attached=101)) == ([0], {})
    assert judge(money(20, "USDT", attached=10), used={"TON": 250}) == ([0], {})
    assert judge(money(20, "USDT", attached=9), used={"TON": 250}) == ([], {"USDT": 20, "TON": 9})
    assert judge(money(20, "USDT")) == ([], {"USDT": 20})
    assert judge(money(0, attached=60), money(40)) == ([], {"TON": 100})
    assert judge(money(20, "USDT", attached=MAX_AMOUNT + 1)) == ([], {})


def deposits(count: int, first: int = 1, **more: object) -> list[Deposit]:
    one = Deposit(first, raw(OUR_WALLET), "TON", 5, "", None, 9)
    return [replace(one, id=first + number, **more) for number in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("trait", "enough"), [("comment", 3), ("sender", 10)])
def test_deposits_become_one_line_from_a_number_on_with_one_comment_or_from_one_sender(
    trait: str, enough: int
) -> None:
    same = deposits(enough, **{trait: "x"})  # type: ignore[arg-type]
    assert repeated_traits(same) == {one.id: Trait(trait, "x", "TON") for one in same}
    assert repeated_traits(same[1:]) == {}
    assert [len(one.deposits) for one in group(same, [])] == [enough]
    assert [len(one.deposits) for one in group(same[1:], [])] == [1] * (enough - 1)
    other = [*same[1:], replace(same[0], currency="USDT")]
    assert repeated_traits(other) == {}


def test_the_comment_counts_before_the_sender_and_nothing_is_no_trait() -> None:
    advertised = deposits(3, comment="buy", sender=raw(PAYER))
    silent = deposits(9, first=4, sender=raw(PAYER))
    assert set(repeated_traits([*advertised, *silent]).values()) == {Trait("comment", "buy", "TON")}
    assert repeated_traits(deposits(20)) == {}


def test_deposits_that_share_a_line_wait_while_one_was_shown_lately() -> None:
    shown, due = deposits(3, comment="x"), deposits(1, first=9, comment="x")
    assert group(due, shown) == []
    assert [len(one.deposits) for one in group(due, shown[1:])] == [1]
    assert [one.trait for one in group(due, shown[1:])] == [Trait("comment", "x", "TON")]
