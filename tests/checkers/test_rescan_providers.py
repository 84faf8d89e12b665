"""`dozor market rescan` believes providers as the checker does: two agree, or one up to its limits."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, Entry, raw
from dozor_market.ton.agreement import pending
from dozor_market.ton_deposits import watch
from tests.checkers.test_rescan import CURSOR_SQL
from tests.checkers.town import CENT, DOWN, MINTED, Town, fork, open_town
from tests.cli.inside import run_inside

BIG = 2_000 * 10**9


class Place(Town):
    """The command on several providers."""

    folder: Path
    dsn: str

    async def rescan(self, *urls: str, apply: bool = True, **args: str) -> subprocess.CompletedProcess[str]:
        config = self.folder / "config.yaml"
        providers = ", ".join(f"{{kind: toncenter, url: '{url}', rps: 10000, timeout: 2}}" for url in urls)
        more = "".join(f"      {name}: {value}\n" for name, value in args.items())
        config.write_text(
            f"language: en\ndatabase: {{url: '{self.dsn}'}}\n"
            f"tasks:\n"
            f"  deposits:\n"
            f"    run: dozor_market.ton_deposits:check_transactions\n"
            f"    every: 60s\n"
            f"    args:\n"
            f"      wallet: {OUR_WALLET.to_str()}\n"
            f"      jettons: {{USDT: '{OUR_JETTON_WALLET.to_str()}'}}\n"
            f"      providers: [{providers}]\n{more}"
        )
        wanted = ["--apply"] if apply else []
        return await run_inside("market", "rescan", OUR_WALLET.to_str(), "-c", config, *wanted)

    async def pass_over(self, entry: Entry) -> None:
        """As if the checker had read up to `entry` and booked nothing."""
        async with self.pool.acquire() as connection:
            await watch(connection, OUR_WALLET.to_str(), {"USDT": OUR_JETTON_WALLET.to_str()})
        await self.pool.execute(CURSOR_SQL, raw(OUR_WALLET), entry.lt, entry.hash.hex())

    async def deposits(self) -> int:
        return int(await self.pool.fetchval("SELECT count(*) FROM market.deposits"))


@pytest.fixture
async def place(pool: Pool, database: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with open_town(pool) as town:
        place = Place.__new__(Place)
        place.__dict__ = town.__dict__ | {"folder": tmp_path, "dsn": database}
        yield place


@pytest.mark.parametrize("first", ["the liar", "the honest one"])
async def test_what_one_of_two_providers_minted_is_not_booked(place: Place, first: str) -> None:
    place.chain.transfer(CENT, "INV-1")
    lie = fork(place.chain)
    lie.transfer(MINTED, "INV-1")
    _, lying = await place.provider(lie)
    _, url = await place.provider()
    urls = [lying, url] if first == "the liar" else [url, lying]
    done = await place.rescan(*urls)  # of a wallet that the checker has not read: no cursor ends the history
    assert done.returncode == 0, done.stderr
    assert "Booked: 1 deposit" in done.stdout
    assert await place.balance() == CENT


@pytest.mark.parametrize("first", ["the liar", "the honest ones"])
async def test_providers_that_contradict_each_other_end_the_rescan(place: Place, first: str) -> None:
    missed = place.chain.transfer(CENT, "INV-1")
    lie = fork(place.chain, 0)
    lie.transfer(MINTED, "INV-1")
    place.chain.transfer(CENT, "INV-1")
    await place.pass_over(missed)
    _, lying = await place.provider(lie)
    honest = [(await place.provider())[1] for _ in range(2)]
    done = await place.rescan(*([lying, *honest] if first == "the liar" else [*honest, lying]))
    assert (done.returncode, "contradict each other" in done.stderr) == (1, True), done.stderr
    assert await place.deposits() == 0
    done = await place.rescan(*honest)
    assert "Booked: 1 deposit" in done.stdout, done.stderr
    assert await place.balance() == CENT


async def test_one_of_two_that_does_not_answer_or_lags_ends_the_rescan(place: Place) -> None:
    place.chain.transfer(CENT, "INV-1")
    behind = fork(place.chain)
    await place.pass_over(place.chain.transfer(CENT, "INV-1"))
    _, url = await place.provider()
    _, lagging = await place.provider(behind)
    done = await place.rescan(url, DOWN)
    assert (done.returncode, "two providers must return" in done.stderr) == (1, True), done.stderr
    done = await place.rescan(url, lagging)
    assert (done.returncode, "try again later" in done.stderr) == (1, True), done.stderr
    assert await place.deposits() == 0


async def test_a_single_provider_is_believed_up_to_its_limits(place: Place) -> None:
    place.chain.transfer(CENT, "INV-1")
    big = place.chain.transfer(BIG, "INV-1")
    place.chain.excesses(BIG)
    await place.pass_over(place.chain.jettons(700, "INV-1"))
    _, url = await place.provider()
    shown = await place.rescan(url, apply=False)
    assert "is the only TON provider" in shown.stdout, shown.stderr
    assert shown.stdout.count("above the limit for a single provider") == 2
    assert f"lt {big.lt}" in shown.stdout
    assert "Missed: 2 deposits" in shown.stdout
    assert await place.states() == []
    done = await place.rescan(url)
    assert "Booked: 2 deposits" in done.stdout, done.stderr
    assert (await place.balance(), await place.balance("USDT")) == (CENT, 700)
    assert await place.states() == ["over_limit"] * 2
    again = await place.rescan(url)
    assert "Nothing was missed" in again.stdout, again.stderr
    async with place.pool.acquire() as connection:
        held, attached = await pending.read_pending(connection)
        await pending.approve(connection, held.id)
        await pending.reject(connection, attached.id)
    _, second = await place.provider()
    for urls in ((url,), (url, second)):
        again = await place.rescan(*urls)
        assert "Nothing was missed" in again.stdout, again.stderr
    assert await place.balance() == BIG + CENT
    assert await place.pool.fetchval("SELECT count(*) FROM market.movements") == 4


async def test_many_rescans_do_not_get_around_the_limit_of_the_window(place: Place) -> None:
    for _ in range(4):
        last = place.chain.transfer(CENT, "INV-1")
    await place.pass_over(last)
    _, url = await place.provider()
    for _ in range(2):
        done = await place.rescan(url, single_source_window_limit=f"{{TON: {3 * CENT}}}")
        assert done.returncode == 0, done.stderr
    assert await place.balance() == 3 * CENT
    assert await place.states() == ["over_limit"]
    await place.check(url, single_source_window_limit={"TON": 3 * CENT})
    assert len(place.told("above the limit")) == 1
    place.chain.transfer(CENT, "INV-1")
    await place.check(url, single_source_window_limit={"TON": 3 * CENT})
    assert await place.balance() == 3 * CENT


@pytest.mark.parametrize("state", ["unconfirmed", "over_limit", "rejected"])
async def test_what_waits_or_was_rejected_is_not_booked(place: Place, state: str) -> None:
    place.chain.transfer(BIG, "INV-1")
    _, url = await place.provider()
    _, second = await place.provider()
    await place.check(url)
    await place.pool.execute(
        "UPDATE market.ton_pending SET state = $1::text,"
        " ended_at = CASE WHEN $1::text = 'rejected' THEN now() END",
        state,
    )
    for urls in ((url,), (url, second)):
        done = await place.rescan(*urls)
        assert "Nothing was missed" in done.stdout, done.stderr
    assert await place.balance() == 0
    assert await place.states() == [state]


async def test_an_old_doubt_ends_when_the_transaction_is_booked(place: Place) -> None:
    place.chain.transfer(BIG, "INV-1")
    _, url = await place.provider()
    _, second = await place.provider()
    await place.check(url)
    await place.pool.execute("UPDATE market.ton_pending SET state = 'refuted', ended_at = now()")
    done = await place.rescan(url, second)
    assert "Booked: 1 deposit" in done.stdout, done.stderr
    assert await place.balance() == BIG
    assert await place.states() == []


async def test_jettons_that_are_credited_already_do_not_count_for_the_limits(place: Place) -> None:
    """0.1 credited them and did not book the TON that came with them."""
    for _ in range(3):
        last = place.chain.jettons(3_000 * 10**6, "INV-1")
    _, url = await place.provider()
    await place.check(url)
    async with place.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # the ledger is append-only
        for table, column in (("postings", "movement_id"), ("movements", "id")):
            await connection.execute(
                f"DELETE FROM market.{table} WHERE {column} IN"
                " (SELECT id FROM market.movements WHERE reference LIKE '%:attached')"
            )
        await connection.execute("UPDATE market.accounts SET balance = 0 WHERE currency = 'TON'")
        await connection.execute("DELETE FROM market.ton_single_source_credits")
    assert await place.cursor() == last.lt
    done = await place.rescan(url, single_source_window_limit="{USDT: 5000000000}")
    assert "account operating" in done.stdout, done.stderr
    assert "above the limit" not in done.stdout
    assert await place.states() == []
    assert await place.balance("USDT") == 9_000 * 10**6
    used = await place.pool.fetch("SELECT currency, amount FROM market.ton_single_source_credits")
    assert [(row["currency"], int(row["amount"])) for row in used] == [("TON", 3)]


async def test_rescans_and_the_checker_at_once_keep_a_single_provider_within_its_limits(place: Place) -> None:
    for _ in range(30):
        last = place.chain.transfer(CENT, "INV-1")
    await place.pass_over(last)
    for _ in range(30):
        place.chain.transfer(CENT, "INV-1")
    served, url = await place.provider()
    served.latency = 0.002
    limits = {"TON": 40 * CENT}
    await asyncio.gather(
        place.rescan(url, single_source_window_limit=f"{{TON: {40 * CENT}}}"),
        *(place.check(url, single_source_window_limit=limits) for _ in range(3)),
    )
    done = await place.rescan(url, single_source_window_limit=f"{{TON: {40 * CENT}}}")
    assert "Nothing was missed" in done.stdout, done.stderr
    assert await place.balance() == 40 * CENT
    assert await place.states() == ["over_limit"] * 20
