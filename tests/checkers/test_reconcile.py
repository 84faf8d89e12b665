"""The reconciliation: silent when all is well, and each planted fault is one incident with the difference."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from ton_core import Address

from dozor.cli.market.rescan import CliAudit
from dozor.control.commands.actor import Actor, Source
from dozor.errors import Fatal
from dozor.storage.postgres.pool import Pool
from dozor_market.decisions.attribution import attribute, reassign
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, Chain, raw
from dozor_market.demo.toncenter import Toncenter
from dozor_market.ledger import AccountKind, create_user, transfer
from dozor_market.reconcile import reconcile
from dozor_market.ton.messages.arrival import Compute
from tests.checkers.stage import StageContext
from tests.checkers.town import CENT, Town, fork, open_town

MASTER = "0:" + "4d" * 32
OTHER = Address((0, b"\x0f" * 32))
AUDIT = CliAudit(Actor(Source.CLI, "somebody", "here"))
WITHOUT_TRIGGERS = "SET LOCAL session_replication_role = replica"


class Place(Town):
    """Two honest providers that know the jetton's master; everything that came in is booked."""

    toncenters: list[Toncenter]
    urls: list[str]
    stranger: int

    async def reconcile(self, **more: Any) -> list[str]:
        """One run. Returns the lines of its alerts, without the titles."""
        context = StageContext(self.pool)
        await reconcile(
            context,
            providers=[{"kind": "toncenter", "url": url, "rps": 10_000} for url in self.urls],
            **{"recheck": 0.0, **more},
        )
        return [line for text, _ in context.alerts for line in text.splitlines()[1:]]

    async def break_in(self, *statements: str) -> None:
        """Change tables behind the back of their triggers."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(WITHOUT_TRIGGERS)
            for statement in statements:
                await connection.execute(statement)


@pytest.fixture
async def place(pool: Pool) -> AsyncIterator[Place]:
    async with open_town(pool, Place, audited=False) as place:
        assert isinstance(place, Place)
        place.toncenters, place.urls = [], []
        for _ in range(2):
            toncenter, url = await place.provider()
            toncenter.masters = {MASTER: {raw(OUR_WALLET): raw(OUR_JETTON_WALLET)}}
            place.toncenters.append(toncenter)
            place.urls.append(url)
        async with pool.acquire() as connection:
            place.stranger = await create_user(connection, "stranger")
        place.chain.transfer(5 * CENT, "INV-1")
        place.chain.jettons(700, "INV-1")
        place.chain.transfer(CENT, "whose?")
        place.chain.transfer(CENT, "and whose?")
        place.chain.transfer(1000, "dust")
        place.chain.excesses(300)
        await place.check(*place.urls)
        async with pool.acquire() as connection:
            second = await connection.fetchval(
                "SELECT max(id) FROM market.deposits WHERE state = 'unmatched'"
            )
            await attribute(connection, second, place.user)
        yield place


async def deposit_without_posting(place: Place) -> None:
    await place.pool.execute(
        "INSERT INTO market.deposits"
        " (account, lt, hash, currency, amount, sender, user_id, state, received_at)"
        " VALUES ($1, 7, $2, 'TON', 5, '', $3, 'credited', now())",
        raw(OUR_WALLET),
        bytes(32),
        place.user,
    )


async def posting_without_deposit(place: Place) -> None:
    await place.pool.execute("DELETE FROM market.deposits WHERE state = 'credited' AND currency = 'TON'")


async def amount_changed(place: Place) -> None:
    await place.pool.execute("UPDATE market.deposits SET amount = amount + 1 WHERE currency = 'USDT'")


async def owner_changed(place: Place) -> None:
    await place.pool.execute(
        "UPDATE market.deposits SET user_id = $1 WHERE currency = 'USDT'", place.stranger
    )


async def attributed_without_movement(place: Place) -> None:
    await place.pool.execute(
        "UPDATE market.deposits SET state = 'attributed', user_id = $1 WHERE state = 'unmatched'", place.user
    )


async def account_missing(place: Place) -> None:
    await place.break_in(
        f"DELETE FROM market.accounts WHERE kind = 'held' AND user_id = {place.stranger}"
        " AND currency = 'USDT'"
    )


async def balance_edited(place: Place) -> None:
    await place.break_in(
        f"UPDATE market.accounts SET balance = 1 WHERE kind = 'held' AND user_id = {place.stranger}"
        " AND currency = 'TON'"
    )


async def posting_edited(place: Place) -> None:
    await place.break_in("UPDATE market.postings SET amount = amount + 1 WHERE amount = 700")


async def minted(place: Place) -> None:
    async with place.pool.acquire() as connection:
        await transfer(
            connection,
            "minted",
            "TON",
            9_000_000 * 10**9,
            source=(None, AccountKind.EXTERNAL),
            target=(place.user, AccountKind.AVAILABLE),
        )


async def dropped_as_aborted(place: Place) -> None:
    """What version 0.1 did: the cursor moves on, the deposit is not booked."""
    last = place.chain.transfer(3 * CENT, "INV-1", compute=Compute.NO_STATE)
    await place.pool.execute(
        "UPDATE dozor.cursors SET position = jsonb_build_object('lt', $1::bigint, 'hash', $2::text)",
        last.lt,
        last.hash.hex(),
    )


async def jettons_without_notification(place: Place) -> None:
    """Forward amount 0: the jetton wallet's balance grows, and nobody is notified."""
    place.chain.jetton_balances[raw(OUR_JETTON_WALLET)] += 42_000_000


async def jettons_that_never_came(place: Place) -> None:
    place.chain.jetton_balances[raw(OUR_JETTON_WALLET)] -= 500


async def master_names_another(place: Place) -> None:
    for toncenter in place.toncenters:
        toncenter.masters = {MASTER: {raw(OUR_WALLET): raw(OTHER)}}
    await place.pool.execute("UPDATE market.ton_jetton_wallets SET master = $1", MASTER)


async def cursor_ahead_of_the_chain(place: Place) -> None:
    await place.pool.execute(
        "UPDATE dozor.cursors SET position = jsonb_build_object('lt', $1::bigint, 'hash', $2::text)",
        place.chain.lt + 1_000_000,
        "ab" * 32,
    )


PLANTED: dict[str, tuple[Callable[[Place], Awaitable[None]], str]] = {
    "a deposit without a posting": (deposit_without_posting, "5 TON units is credited"),
    "a posting without a deposit": (posting_without_deposit, "has no deposit"),
    "a deposit of another amount than its posting": (amount_changed, "701 USDT units"),
    "a deposit that was posted to another user": (owner_changed, "0 to that user"),
    "an attributed deposit without its movement": (attributed_without_movement, "is attributed"),
    "an account that is missing": (account_missing, "has no account held in USDT"),
    "a balance edited by hand": (balance_edited, "balance 1, postings sum to 0"),
    "a movement that is not balanced": (posting_edited, "postings in USDT sum to 1"),
    "money that never came in": (minted, "difference -9000000"),
    "a deposit that was dropped": (dropped_as_aborted, "0.03 more"),
    "jettons with forward amount 0": (jettons_without_notification, "42 more"),
    "jettons that are not there": (jettons_that_never_came, "difference -0.0005"),
    "a jetton wallet that its master does not name": (master_names_another, f"names {raw(OTHER)}"),
    "a cursor at a transaction that is not on the chain": (cursor_ahead_of_the_chain, "may not be on the"),
}


@pytest.mark.parametrize(("plant", "said"), list(PLANTED.values()), ids=list(PLANTED))
async def test_each_planted_fault_is_found_once_with_the_difference(
    place: Place, plant: Callable[[Place], Awaitable[None]], said: str
) -> None:
    assert await place.reconcile() == []
    await plant(place)
    found = await place.reconcile()
    assert sum(said in line for line in found) == 1, found
    assert await place.reconcile() == []  # known
    ended = "SELECT count(*) FROM market.ton_incidents WHERE kind = 'reconciliation' AND ended_at IS NULL"
    assert await place.pool.fetchval(ended) == len(found)


async def test_what_waits_or_was_rejected_is_no_difference_and_what_is_expected_neither(place: Place) -> None:
    place.chain.transfer(5 * CENT, "INV-1")
    await place.check(place.urls[0], single_source_limit={"TON": 1})
    assert await place.states() == ["over_limit"]
    assert await place.reconcile() == []
    place.chain.balance += 7
    total, line = sorted(await place.reconcile(), key=lambda line: "more" in line)
    assert "0.000000007 more" in line
    assert "difference 0.000000007" in total
    await place.pool.execute("UPDATE market.ton_wallets SET after_lt = 1")
    assert await place.reconcile(expected={"TON": 7}) == []
    lasting = "SELECT count(*) FROM market.ton_incidents WHERE ended_at IS NULL"
    assert await place.pool.fetchval(lasting) == 0


async def test_a_deposit_on_its_way_is_no_fault_and_a_wallet_that_is_not_read_for_long_is(
    place: Place,
) -> None:
    place.chain.transfer(CENT, "INV-1")
    assert await place.reconcile() == []
    (line,) = await place.reconcile()
    assert "it is not compared" in line
    await place.check(*place.urls)
    assert await place.reconcile() == []
    assert await place.pool.fetchval("SELECT count(*) FROM market.ton_incidents WHERE ended_at IS NULL") == 0


async def test_deposits_that_were_reassigned_are_no_difference_and_without_the_movement_they_are(
    place: Place,
) -> None:
    rows = await place.pool.fetch("SELECT id FROM market.deposits WHERE user_id IS NOT NULL ORDER BY id")
    assert len(rows) == 3  # credited TON and USDT, and one that was attributed
    for user in (place.stranger, place.user, place.stranger):  # several movements of one deposit
        for row in rows:
            async with place.pool.acquire() as connection:
                await reassign(connection, row["id"], user, audit=AUDIT)
    references = await place.pool.fetch(
        "SELECT reference FROM market.movements WHERE reference ~ 'reassigned'"
    )
    assert sorted(row["reference"] for row in references) == sorted(
        f"deposit:{row['id']}:reassigned:{number}" for row in rows for number in (1, 2, 3)
    )
    assert await place.reconcile() == []
    await place.pool.execute(
        "UPDATE market.deposits SET user_id = $2 WHERE id = $1", rows[0]["id"], place.user
    )
    (line,) = await place.reconcile()
    assert line.startswith(f"deposit {rows[0]['id']}: ")


async def test_providers_that_disagree_about_a_balance_prove_nothing(place: Place) -> None:
    lying = Toncenter(lie := fork(place.chain))
    lie.balance = 9 * 10**18
    place.toncenters[1].chains = lying.chains
    assert await place.reconcile() == []
    (line,) = await place.reconcile()
    assert "do not agree" in line


@pytest.mark.parametrize(
    "args",
    [
        {"expected": {"TON": 1.5}},
        {"expected": [1]},
        {"expected": {"USTD": 5}},
        {"fee_per_transaction": -1},
    ],
)
async def test_arguments_that_make_no_sense_stop_the_task(place: Place, args: dict[str, Any]) -> None:
    with pytest.raises(Fatal):
        await place.reconcile(**args)


def test_chain_of_the_stand_in_keeps_its_balance() -> None:
    chain = Chain()
    chain.transfer(50)
    chain.transfer(10_000_000, bounce=True, compute=Compute.FAILED)
    chain.outgoing(20)
    assert chain.balance == 30
