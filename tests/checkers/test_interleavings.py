"""In whatever order things happen: money is conserved, all ends once, a deposit is credited once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from ton_core import Address

from dozor.cli.market.rescan import CliAudit
from dozor.control.commands.actor import Actor, Source
from dozor.storage.postgres.pool import Connection, create_pool
from dozor_market.auctions import check_auctions
from dozor_market.bidding import create_auction, place_bid
from dozor_market.decisions.attribution import issue_invoice, reassign
from dozor_market.decisions.cancelling import cancel_auction
from dozor_market.demo.chain import Chain, raw
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import LedgerError, audit
from dozor_market.presales import check_presales
from dozor_market.reconcile import reconcile
from dozor_market.selling import deliver, pay_presale, pledge
from dozor_market.ton.messages.arrival import Compute
from dozor_market.ton.providers.port import open_providers
from dozor_market.ton.wallets.rescan import Rescan, read_wallet_row
from dozor_market.ton_deposits import check_transactions, provider_options, single_source_limits
from tests.checkers.stage import StageContext, rich_user
from tests.effort import cases


class Audit:
    """Satisfies dozor_market.ton.wallets.rescan.Audit."""

    actor = "test"

    async def record(self, connection: Connection, action: str, target: str, result: str) -> None:
        """Nothing is kept."""


T = TypeVar("T")
EXAMPLES = cases(3, 20, variable="DOZOR_EXAMPLES")
PORTION = 10
LATER = datetime(2100, 1, 1, tzinfo=UTC)
CENT = 10_000_000
WEALTH = 1000
AMOUNTS = st.integers(1, 400)
WHO = st.integers(0, 3)
KINDS = ["invoice", "lost", "bounced", "returned", "stayed", "excesses", "dust", "out"]
DIED = (
    asyncio.CancelledError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that dies at the very moment it is asked
    OSError,
)
AUDIT = CliAudit(Actor(Source.CLI, "somebody", "here"))
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'dozor' AND pid <> pg_backend_pid()"""


class Marketplace(RuleBasedStateMachine):
    """Four people, a wallet of the house, checkers, rescans and the reconciliation, all of which crash."""

    database = ""
    auctions = Bundle("auctions")
    presales = Bundle("presales")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.loop.get_loop()
        self.chain = Chain(address=Address((0, os.urandom(32))))
        self.toncenter = Toncenter(self.chain)
        self.credits = 0
        self.kept = 0
        self.operating = 0
        self.run(self.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    async def open(self) -> None:
        self.admin = await create_pool(self.database, min_size=1, max_size=1, application_name="admin")
        await self.connect()
        self.serving = serve(self.toncenter)
        self.url = await self.serving.__aenter__()
        async with self.admin.acquire() as connection:
            self.people = [await rich_user(connection, f"person {n}", WEALTH) for n in range(4)]
            self.code = f"INV-{self.people[0]}"
            await issue_invoice(connection, self.code, self.people[0])
            await connection.execute(
                "INSERT INTO market.ton_wallets (address) VALUES ($1)", raw(self.chain.address)
            )

    async def connect(self) -> None:
        self.pool = await create_pool(self.database, min_size=1, max_size=6)
        self.context = StageContext(self.pool)

    async def rescan(self) -> None:
        """Goes over the whole history, and books what the checker has not read where it has read nothing."""
        options = provider_options([{"kind": "toncenter", "url": self.url, "rps": 10_000}])
        async with open_providers(options, testnet=False) as opened:
            async with self.pool.acquire() as connection:
                wallet = await read_wallet_row(connection, raw(self.chain.address))
            assert wallet is not None
            limits = single_source_limits()
            one = Rescan(self.pool, opened, wallet, {"TON": CENT}, limits, Audit())
            await one.apply(await one.find())

    async def reconcile(self) -> None:
        """Finds nothing but the gifts, which never were on the chain."""
        await reconcile(
            self.context,
            providers=[{"kind": "toncenter", "url": self.url, "rps": 10_000}],
            recheck=0.0,
        )
        found = await self.admin.fetch(
            "SELECT subject, latest FROM market.ton_incidents"
            " WHERE kind = 'reconciliation' AND urgent AND subject <> 'TON in all'"
        )
        assert [dict(row) for row in found] == []

    def checks(self) -> list[Coroutine[Any, Any, None]]:
        """A run of each checker, in batches small enough to be interrupted between."""
        return [
            check_auctions(self.context, batch=2, workers=2),
            check_presales(self.context, batch=2, workers=2),
            check_transactions(
                self.context,
                providers=[{"kind": "toncenter", "url": self.url, "rps": 10_000}],
                behind_after=None,
            ),
            self.rescan(),
            self.reconcile(),
        ]

    async def attempt(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What people do may be refused; nothing else may go wrong."""
        try:
            return await work
        except LedgerError:
            return None

    @rule(
        target=auctions,
        seller=WHO,
        sealed=st.booleans(),
        reserve=st.none() | AMOUNTS,
        bps=st.integers(0, 10_000),
    )
    def put_up(self, seller: int, sealed: bool, reserve: int | None, bps: int) -> int:
        async def act() -> int:
            async with self.admin.acquire() as connection:
                return await create_auction(
                    connection,
                    self.people[seller],
                    "TON",
                    LATER,
                    sealed=sealed,
                    reserve_price=reserve,
                    fee_bps=bps,
                )

        return self.run(act())

    @rule(auction=auctions, bids=st.lists(st.tuples(WHO, AMOUNTS), min_size=1, max_size=4))
    def bid(self, auction: int, bids: list[tuple[int, int]]) -> None:
        async def one(who: int, amount: int) -> None:
            async with self.pool.acquire() as connection:
                await self.attempt(place_bid(connection, auction, self.people[who], amount))

        async def act() -> None:
            await asyncio.gather(*(one(who, amount) for who, amount in bids))

        self.run(act())

    @rule(auction=auctions, who=WHO, amount=AMOUNTS)
    def bid_with_a_key(self, auction: int, who: int, amount: int) -> None:
        """Twice at once and once more: one bid, or the same refusal."""
        key = os.urandom(8).hex()

        async def one() -> int | None:
            async with self.pool.acquire() as connection:
                bid: int | None = await self.attempt(
                    place_bid(connection, auction, self.people[who], amount, key=key)
                )
                return bid

        async def act() -> None:
            assert len({*await asyncio.gather(one(), one()), await one()}) == 1

        self.run(act())

    @rule(auction=auctions)
    def cancel(self, auction: int) -> None:
        async def act() -> None:
            async with self.admin.acquire() as connection:
                await self.attempt(cancel_auction(connection, auction, audit=AUDIT))

        self.run(act())

    @rule(who=WHO, deposit=st.integers(0, 5))
    def reassign_a_deposit(self, who: int, deposit: int) -> None:
        """One that has an owner, to somebody else, while the money is there."""

        async def act() -> None:
            async with self.admin.acquire() as connection:
                found = await connection.fetchval(
                    "SELECT id FROM market.deposits WHERE account = $1 AND user_id IS NOT NULL"
                    " ORDER BY lt OFFSET $2 LIMIT 1",
                    raw(self.chain.address),
                    deposit,
                )
                await self.attempt(reassign(connection, found or 0, self.people[who], audit=AUDIT))

        self.run(act())

    @rule(auction=auctions)
    def end(self, auction: int) -> None:
        self.run(self.admin.execute("UPDATE market.auctions SET ends_at = now() WHERE id = $1", auction))

    @rule(target=presales, seller=WHO, buyer=WHO, price=AMOUNTS, penalty=AMOUNTS, hours=st.integers(1, 9))
    def pay(self, seller: int, buyer: int, price: int, penalty: int, hours: int) -> int | None:
        async def act() -> int | None:
            async with self.admin.acquire() as connection:
                paid: int | None = await self.attempt(
                    pay_presale(
                        connection,
                        self.people[seller],
                        self.people[buyer],
                        "TON",
                        price,
                        datetime.now(UTC) + timedelta(hours=5),
                        penalty=penalty,
                        remind_before=timedelta(hours=hours),
                    )
                )
                return paid

        return self.run(act())

    @rule(presale=presales)
    def hand_over(self, presale: int | None) -> None:
        async def act() -> None:
            async with self.pool.acquire() as connection:
                await self.attempt(deliver(connection, presale or 0))

        self.run(act())

    @rule(presale=presales)
    def miss(self, presale: int | None) -> None:
        self.run(
            self.admin.execute(
                "UPDATE market.presales SET remind_at = NULL, deliver_by = now() WHERE id = $1", presale
            )
        )

    @rule(seller=WHO, amount=AMOUNTS)
    def put_down_collateral(self, seller: int, amount: int) -> None:
        async def act() -> None:
            async with self.admin.acquire() as connection:
                reference = f"pledge:{os.urandom(8).hex()}"
                await self.attempt(pledge(connection, reference, self.people[seller], "TON", amount))

        self.run(act())

    @rule(
        cents=st.integers(1, 50),
        kind=st.sampled_from(KINDS),
    )
    def come_in(self, cents: int, kind: str) -> None:
        match kind:
            case "invoice":
                self.chain.transfer(cents * CENT, self.code)
                self.credits += cents * CENT
            case "lost":
                self.chain.transfer(cents * CENT, "whose?")
                self.kept += cents * CENT
            case "dust":
                self.chain.transfer(cents, self.code)
            case "out":
                self.chain.outgoing(cents)
            case "bounced":
                self.chain.transfer(cents * CENT, self.code, bounced=True)
                self.kept += cents * CENT
            case "stayed":  # the contract failed, the value was not sent back
                self.chain.transfer(cents * CENT, self.code, compute=Compute.FAILED)
                self.credits += cents * CENT
            case "excesses":
                self.chain.excesses(cents)
                self.operating += cents
            case _:
                self.chain.transfer(cents * CENT, self.code, compute=Compute.FAILED, bounce=True)

    @rule(which=st.integers(0, 4), steps=st.integers(0, 60), kill=st.booleans())
    def crash(self, which: int, steps: int, kill: bool) -> None:
        """A run ends somewhere in the middle: its process is gone, or its connections are."""

        async def act() -> None:
            checks = self.checks()
            for check in checks[:which] + checks[which + 1 :]:
                check.close()
            task = asyncio.create_task(checks[which])
            for _ in range(steps):
                await asyncio.sleep(0.0005)
                if task.done():
                    break
            if kill:
                await self.admin.execute(TERMINATE)
            else:
                task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            assert result is None or isinstance(result, DIED), result
            if kill:  # a killed connection that idles in the pool may not look dead yet
                self.pool.terminate()
                await self.connect()

        self.run(act())

    @rule(runners=st.integers(1, 2))
    def check(self, runners: int) -> None:
        """Clean runs, several at once."""

        async def act() -> None:
            await asyncio.gather(*(check for _ in range(runners) for check in self.checks()))

        self.run(act())

    @invariant()
    def money_is_conserved(self) -> None:
        async def act() -> list[str]:
            async with self.admin.acquire() as connection:
                return await audit(connection)

        assert self.run(act()) == []

    def teardown(self) -> None:
        try:
            self.run(self.finish())
        finally:
            self.run(self.close())
            self.loop.close()

    async def finish(self) -> None:
        """Everything comes to its end; then what must be true is true."""
        await self.admin.execute("UPDATE market.auctions SET ends_at = now() WHERE state = 'open'")
        await self.admin.execute(
            "UPDATE market.presales SET remind_at = NULL, deliver_by = now() WHERE state = 'paid'"
        )
        await asyncio.gather(*self.checks())
        await asyncio.gather(*self.checks())
        left = "SELECT count(*) FROM market.{} WHERE state NOT IN ({})"
        assert await self.admin.fetchval(left.format("auctions", "'settled', 'unsold'")) == 0
        assert await self.admin.fetchval(left.format("presales", "'delivered', 'overdue'")) == 0
        assert await self.admin.fetchval(left.format("bids", "'outbid', 'won', 'lost'")) == 0
        assert await self.admin.fetchval("SELECT count(*) FROM dozor.quarantine") == 0
        twice = (
            "SELECT count(*) - count(DISTINCT winning_bid_id) FROM market.auctions WHERE state = 'settled'"
        )
        assert await self.admin.fetchval(twice) == 0
        deposited = await self.admin.fetch(
            "SELECT state, sum(amount)::bigint AS total FROM market.deposits"
            " WHERE account = $1 GROUP BY state",
            raw(self.chain.address),
        )
        totals = {row["state"]: row["total"] for row in deposited}
        assert totals.get("credited", 0) + totals.get("attributed", 0) == self.credits
        assert totals.get("unmatched", 0) == self.kept
        posted = await self.admin.fetchval(
            "SELECT coalesce(sum(p.amount), 0)::bigint FROM market.movements m"
            " JOIN market.postings p ON p.movement_id = m.id"
            " JOIN market.accounts a ON a.id = p.account_id AND a.kind <> 'external'"
            " WHERE starts_with(m.reference, 'ton:' || $1)",
            raw(self.chain.address),
        )
        assert posted == self.credits + self.kept + self.operating

    async def close(self) -> None:
        await self.serving.__aexit__(None, None, None)
        await self.admin.execute("UPDATE market.ton_wallets SET enabled = false")
        self.admin.terminate()
        self.pool.terminate()


def test_any_interleaving_conserves_money_and_ends_everything_once(
    new_market_database: Callable[[], AbstractContextManager[str]],
) -> None:
    """In portions: every step audits the whole ledger, which the examples before have filled."""
    for _ in range(0, EXAMPLES, PORTION):
        with new_market_database() as database:
            run_state_machine_as_test(
                type("MarketplaceHere", (Marketplace,), {"database": database}),
                settings=settings(
                    max_examples=min(EXAMPLES, PORTION),
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
