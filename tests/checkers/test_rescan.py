"""`dozor market rescan`: what an older version missed is listed, and booked once."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dozor.storage.postgres.pool import Connection, Pool
from dozor_market.decisions.attribution import attribute
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, Chain, Entry, raw
from dozor_market.demo.toncenter import Toncenter, serve, status
from dozor_market.ledger import AccountKind, read_balance
from dozor_market.ton.messages.arrival import AccountState, Compute
from dozor_market.ton.providers.port import ProviderKind, ProviderOptions, open_providers
from dozor_market.ton.wallets.rescan import Report, Rescan, RescanError, parse_hash, read_wallet_row
from dozor_market.ton_deposits import single_source_limits, watch
from tests.checkers.bench import CENT, Bench
from tests.cli.inside import run_inside
from tests.preloaded.processes import run_beside

CURSOR_SQL = """
INSERT INTO dozor.cursors (name, position)
VALUES ('ton:' || $1, jsonb_build_object('lt', $2::bigint, 'hash', $3::text))
ON CONFLICT (name) DO UPDATE SET position = excluded.position"""


class TestAudit:
    """Keeps nothing but who acts."""

    __test__ = False
    actor = "test"

    async def record(self, connection: Connection, action: str, target: str, result: str) -> None:
        assert connection.is_in_transaction()


class Place(Bench):
    """A wallet with a config file, for the command."""

    def __init__(self, pool: Pool, chain: Chain, toncenter: Toncenter, url: str, folder: Path) -> None:
        super().__init__(pool, toncenter, chain, url)
        self.folder = folder

    def write_config(self, database: str, language: str = "en", run: str = "check_transactions") -> None:
        (self.folder / "config.yaml").write_text(
            f"language: {language}\n"
            f"database: {{url: '{database}'}}\n"
            f"tasks:\n"
            f"  deposits:\n"
            f"    run: dozor_market.ton_deposits:{run}\n"
            f"    every: 60s\n"
            f"    args:\n"
            f"      wallet: {OUR_WALLET.to_str()}\n"
            f"      jettons: {{USDT: '{OUR_JETTON_WALLET.to_str()}'}}\n"
            f"      providers: [{{kind: toncenter, url: '{self.url}', rps: 10000}}]\n"
        )

    async def command(
        self, *arguments: str, wallet: str | None = None, process: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """`process`: as one of its own."""
        config = self.folder / "config.yaml"
        run = run_beside if process else run_inside
        return await run("market", "rescan", wallet or OUR_WALLET.to_str(), "-c", config, *arguments)

    async def check_registration(self) -> None:
        """Register the wallet as a first run of the checker does, on a chain not read yet."""
        async with self.pool.acquire() as connection:
            await watch(connection, OUR_WALLET.to_str(), {"USDT": OUR_JETTON_WALLET.to_str()})

    async def pass_over(self, entry: Entry) -> None:
        """As if the checker had read up to `entry` and booked nothing."""
        await self.pool.execute(CURSOR_SQL, raw(OUR_WALLET), entry.lt, entry.hash.hex())

    async def balances(self) -> list[tuple[int | None, str, str, int]]:
        rows = await self.pool.fetch(
            "SELECT user_id, kind, currency, balance FROM market.accounts WHERE balance <> 0 ORDER BY id"
        )
        return [tuple(row) for row in rows]

    async def rescan(
        self, *, exclude: tuple[bytes, ...] = (), from_lt: int = 0, apply: bool = True
    ) -> Report:
        """A rescan within this process."""
        option = ProviderOptions(ProviderKind.TONCENTER, self.url, rps=10_000)
        async with self.pool.acquire() as connection:
            wallet = await read_wallet_row(connection, raw(OUR_WALLET))
        assert wallet is not None
        async with open_providers([option], testnet=False) as providers:
            rescan = Rescan(self.pool, providers, wallet, {"TON": CENT}, single_source_limits(), TestAudit())
            report = await rescan.find(from_lt, exclude)
        return await rescan.apply(report, exclude) if apply else report


@pytest.fixture
async def place(pool: Pool, database: str, tmp_path: Path) -> AsyncIterator[Place]:
    chain = Chain()
    toncenter = Toncenter(chain)
    async with serve(toncenter) as url:
        place = Place(pool, chain, toncenter, url, tmp_path)
        place.write_config(database)
        yield place


def missed_by_0_1(chain: Chain) -> tuple[Entry, Entry, Entry]:
    """An undeployed address, a contract that refused without a bounce, a notification with 1 nanoton."""
    chain.state = AccountState.UNINIT
    first = chain.transfer(3 * CENT, "INV-1")
    chain.outgoing(CENT)
    refused = chain.transfer(4 * CENT, "INV-404", compute=Compute.FAILED)
    chain.transfer(5 * CENT, "INV-1", compute=Compute.FAILED, bounce=True)
    return first, refused, chain.jettons(700, "INV-1")


async def test_without_apply_nothing_changes_and_each_deposit_is_named(place: Place) -> None:
    user = await place.payer()
    first, refused, jettons = missed_by_0_1(place.chain)
    await place.check_registration()
    await place.pass_over(jettons)
    before = await place.balances()
    shown = await place.command()
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout
    for entry in (first, refused, jettons):
        assert f"lt {entry.lt}  hash {entry.hash.hex()}" in text
    assert f"0.03 TON (30000000) → user {user} (payer)" in text
    assert f"0.0007 USDT (700) → user {user} (payer)" in text
    assert "0.04 TON (40000000) → account unattributed" in text
    assert "0.000000001 TON (1) → account operating" in text
    assert "Missed: 3 deposits. Nothing was changed; to book, repeat with --apply" in text
    assert await place.balances() == before == []
    assert await place.states() == []
    assert await place.pool.fetchval("SELECT count(*) FROM dozor.audit") == 0
    booked = await place.command("--apply", wallet=raw(OUR_WALLET))
    assert booked.returncode == 0, booked.stderr
    assert "Booked: 3 deposits" in booked.stdout
    assert await place.available(user) == 3 * CENT
    assert await place.available(user, "USDT") == 700
    assert await place.states() == ["credited", "unmatched", "credited"]
    assert await place.operating() == 1
    actions = await place.pool.fetch("SELECT action, target, result FROM dozor.audit")
    assert [tuple(row) for row in actions] == [
        ("rescan", raw(OUR_WALLET), f"booked 3, set aside 0, lt {first.lt} to {jettons.lt}")
    ]
    after = await place.balances()
    again = await place.command("--apply")
    assert (again.returncode, "Nothing was missed" in again.stdout) == (0, True), again.stderr
    await place.check()
    assert await place.balances() == after
    assert await place.faults() == []
    assert len(place.context.alerts) == 1  # the unmatched one


async def test_what_was_credited_attributed_or_set_aside_before_is_never_booked_again(place: Place) -> None:
    user = await place.payer()
    place.chain.transfer(3 * CENT, "INV-1")
    place.chain.transfer(4 * CENT, "whose?")
    place.chain.jettons(2**100, "INV-1")
    last = place.chain.transfer(5, "INV-1")
    await place.check()
    deposit = await place.pool.fetchval("SELECT id FROM market.deposits WHERE state = 'unmatched'")
    async with place.pool.acquire() as connection:
        await attribute(connection, deposit, user)
    before = await place.balances()
    report = await place.rescan()
    assert (report.read, report.newer, report.missed) == (4, 0, ())
    assert await place.balances() == before
    assert await place.pool.fetchval("SELECT count(*) FROM dozor.quarantine") == 1
    assert await place.states() == ["credited", "attributed", "dust"]
    assert await place.cursor_lt() == last.lt


async def test_rescans_and_the_checker_at_once_book_each_transaction_once(place: Place) -> None:
    user = await place.payer()
    await place.check_registration()
    for number in range(40):
        entry = place.chain.transfer(CENT, "INV-1") if number % 2 else place.chain.jettons(1, "INV-1")
    await place.pass_over(entry)
    for _ in range(20):
        place.chain.transfer(CENT, "INV-1")
    place.toncenter.latency = 0.002
    place.toncenter.page_limit = 10
    await asyncio.gather(place.rescan(), place.check(), place.rescan(), place.check(), place.rescan())
    await place.check()
    assert await place.available(user) == 40 * CENT
    assert await place.available(user, "USDT") == 20
    assert await place.operating() == 20
    assert await place.states() == ["credited"] * 60
    assert await place.pool.fetchval("SELECT count(*) FROM dozor.quarantine") == 0
    assert await place.faults() == []


async def test_a_deposit_compensated_by_hand_is_excluded_for_good(place: Place) -> None:
    user = await place.payer()
    first, refused, jettons = missed_by_0_1(place.chain)
    await place.check_registration()
    await place.pass_over(jettons)
    as_base64 = base64.urlsafe_b64encode(refused.hash).decode()
    excluding = ("--exclude", first.hash.hex(), "--exclude", as_base64)
    shown = await place.command(*excluding)
    assert "0.03 TON (30000000): excluded, not booked" in shown.stdout, shown.stderr
    assert await place.pool.fetchval("SELECT count(*) FROM market.ton_exclusions") == 0
    for arguments in (("--apply", *excluding), ("--apply",)):
        done = await place.command(*arguments)
        assert done.returncode == 0, done.stderr
    assert await place.states() == ["credited"]
    assert await place.available(user) == 0
    assert await place.available(user, "USDT") == 700
    excluded = await place.pool.fetch(
        "SELECT action, result FROM dozor.audit WHERE action = 'exclude deposit' ORDER BY id"
    )
    assert {row["result"] for row in excluded} == {f"hash {first.hash.hex()}", f"hash {refused.hash.hex()}"}
    assert len(excluded) == 2
    who = await place.pool.fetchval("SELECT min(excluded_by) FROM market.ton_exclusions")
    assert re.fullmatch(r"cli:.+@.+", who)
    await place.pool.execute("DELETE FROM dozor.cursors")  # the checker reads everything again
    await place.check()
    assert await place.states() == ["credited"]


async def test_an_exclusion_that_is_not_in_the_history_books_nothing(place: Place) -> None:
    await place.payer()
    *_, jettons = missed_by_0_1(place.chain)
    await place.check_registration()
    await place.pass_over(jettons)
    done = await place.command("--apply", "--exclude", "ab" * 32)
    assert done.returncode == 1
    assert f"not in the history that was read: {'ab' * 32}" in done.stderr
    assert await place.states() == []
    done = await place.command("--apply", "--exclude", "abc")
    assert (done.returncode, "is not a transaction's hash" in done.stderr) == (1, True)


async def test_only_what_is_between_the_given_time_and_the_cursor_is_booked(place: Place) -> None:
    user = await place.payer()
    await place.check_registration()
    entries = [place.chain.transfer(CENT, "INV-1") for _ in range(6)]
    await place.pass_over(entries[3])
    report = await place.rescan(from_lt=entries[2].lt)
    assert [missed.receipt.at.lt for missed in report.missed] == [entries[2].lt, entries[3].lt]
    assert (report.read, report.newer) == (4, 2)
    assert await place.available(user) == 2 * CENT
    await place.check()
    assert await place.available(user) == 4 * CENT


async def test_a_wallet_the_checker_has_not_read_yet_is_gone_over_whole(place: Place) -> None:
    user = await place.payer()
    missed_by_0_1(place.chain)
    shown = await place.command()
    assert "Missed: 3 deposits" in shown.stdout, shown.stderr
    assert await place.pool.fetchval("SELECT count(*) FROM market.ton_wallets") == 0
    done = await place.command("--apply")
    assert "Booked: 3 deposits" in done.stdout, done.stderr
    await place.check()
    assert await place.available(user) == 3 * CENT
    assert await place.faults() == []


async def test_another_history_than_the_one_that_was_read_is_refused(place: Place) -> None:
    await place.payer()
    await place.check_registration()
    last = place.chain.transfer(CENT, "INV-1")
    await place.pool.execute(CURSOR_SQL, raw(OUR_WALLET), last.lt, "ab" * 32)
    with pytest.raises(RescanError, match="is not in the history"):
        await place.rescan()
    assert await place.states() == []


async def test_what_cannot_be_done_ends_with_1_and_says_why(place: Place, database: str) -> None:
    await place.payer()
    place.chain.transfer(CENT, "INV-1")
    unknown = await place.command(wallet="0:" + "77" * 32)
    assert (unknown.returncode, "is neither in market.ton_wallets" in unknown.stderr) == (1, True)
    bad = await place.command(wallet="nonsense")
    assert (bad.returncode, "nonsense is not a TON address" in bad.stderr) == (1, True)
    no_task = await place.command("--task", "other")
    assert (no_task.returncode, "has no task other" in no_task.stderr) == (1, True)
    place.toncenter.faults.extend([status(500)] * 9)
    failed = await place.command("--apply", process=True)
    assert (failed.returncode, "no TON provider can be used" in failed.stderr) == (1, True)
    place.toncenter.faults.clear()
    place.write_config(database, language="ru")
    russian = await place.command(process=True)
    assert "Пропущено: 1 пополнение. Ничего не изменено" in russian.stdout, russian.stderr


async def test_excesses_that_0_1_ignored_go_to_the_operating_account_once(place: Place) -> None:
    await place.payer()
    await place.check_registration()
    last = place.chain.excesses(3 * CENT)
    await place.pass_over(last)
    for _ in range(2):
        await place.rescan()
    assert await place.operating() == 3 * CENT
    async with place.pool.acquire() as connection:
        assert await read_balance(connection, None, AccountKind.EXTERNAL, "TON") == -3 * CENT


def test_a_hash_is_read_in_every_form_that_explorers_show() -> None:
    value = bytes(range(224, 256))
    standard = base64.b64encode(value).decode()
    for text in (
        value.hex(),
        value.hex().upper(),
        standard,
        standard.rstrip("="),
        standard.translate({43: "-", 47: "_"}),
    ):
        assert parse_hash(text) == value
    for text in ("", "zz" * 32, value.hex()[:-2], standard[:-4], "é"):
        with pytest.raises(RescanError):
            parse_hash(text)
