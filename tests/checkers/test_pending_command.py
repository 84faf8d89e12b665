"""`dozor market pending|approve|reject`: commands that the alert about a transfer over the limit names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dozor.storage.postgres.pool import Pool
from dozor_market.decisions.attribution import issue_invoice
from dozor_market.demo.chain import OUR_WALLET, Chain
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import audit, create_user
from dozor_market.ton.agreement import pending
from dozor_market.ton_deposits import check_transactions
from tests.checkers.stage import StageContext, purse
from tests.cli.inside import run_inside

AMOUNT = 5_000 * 10**9


async def run(database: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = folder / "config.yaml"
    task = "auctions_checker: {run: 'dozor_market.auctions:check_auctions', every: 60s}"
    config.write_text(f"language: en\ndatabase: {{url: '{database}'}}\ntasks:\n  {task}\n")
    return await run_inside("market", arguments[0], "-c", config, *arguments[1:])


async def test_a_person_approves_one_and_rejects_another_once_and_for_all(
    pool: Pool, database: str, tmp_path: Path
) -> None:
    chain = Chain()
    for code in ("INV-1", "INV-1", "whose?"):
        chain.transfer(AMOUNT, code)
    async with pool.acquire() as connection:
        user = await create_user(connection, "ann")
        await issue_invoice(connection, "INV-1", user)
    async with serve(Toncenter(chain)) as url, serve(Toncenter(chain)) as second:

        async def check(*urls: str) -> None:
            await check_transactions(
                StageContext(pool),
                providers=[{"kind": "toncenter", "url": one, "rps": 10_000} for one in urls],
                wallet=OUR_WALLET.to_str(),
                behind_after=None,
            )

        await check(url)
        first, other, strange = [
            str(row["id"]) for row in await pool.fetch("SELECT id FROM market.ton_pending ORDER BY lt")
        ]
        listed = (await run(database, tmp_path, "pending")).stdout
        assert listed.count("over_limit") == 3
        assert "5000 TON" in listed
        done = await run(database, tmp_path, "approve", first)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"pending transfer {first}: 5000 TON credited" in done.stdout
        again = await run(database, tmp_path, "approve", first)
        assert (again.returncode, again.stderr.strip()) == (
            1,
            f"dozor: pending transfer {first} is credited",
        )
        assert (await run(database, tmp_path, "reject", other)).returncode == 0
        assert "its owner is not known" in (await run(database, tmp_path, "approve", strange)).stdout
        assert (await run(database, tmp_path, "reject", "999")).returncode == 1
        await pool.execute('UPDATE dozor.cursors SET position = \'{"lt": 0, "hash": ""}\'')
        for _ in range(2):
            await check(url, second)  # from the beginning, and confirmed: what was rejected stays rejected
    async with pool.acquire() as connection:
        assert (await purse(connection, user))["available"] == AMOUNT
        assert await audit(connection) == []
        assert await connection.fetchval("SELECT count(*) FROM dozor.audit") == 3
    states = [row["state"] for row in await pool.fetch("SELECT state FROM market.ton_pending ORDER BY lt")]
    assert states == ["credited", "rejected", "credited"]


async def test_what_waits_for_a_second_provider_can_be_rejected_and_not_approved(pool: Pool) -> None:
    chain = Chain()
    chain.transfer(AMOUNT, "INV-1")
    async with serve(Toncenter(chain)) as url:
        await check_transactions(
            StageContext(pool),
            providers=[
                {"kind": "toncenter", "url": one, "rps": 10_000} for one in (url, "http://127.0.0.1:9")
            ],
            wallet=OUR_WALLET.to_str(),
            behind_after=None,
        )
    async with pool.acquire() as connection:
        (one,) = await pending.read_pending(connection)
        assert one.state is pending.PendingState.UNCONFIRMED
        with pytest.raises(pending.PendingError, match="once a second provider returns it"):
            await pending.approve(connection, one.id)
        await pending.reject(connection, one.id)
        assert await pending.read_pending(connection) == []
