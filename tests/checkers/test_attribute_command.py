"""`dozor market attribute`: the command that the alert about an unmatched deposit names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dozor.storage.postgres.pool import Pool
from dozor.toolkit import start_cursor
from dozor_market.ledger import create_user
from dozor_market.ton.crediting import credit, to_json
from dozor_market.ton.messages.transactions import Kind, Position, Receipt
from dozor_market.ton.reader import START, Wallet
from tests.checkers.stage import purse
from tests.preloaded.processes import run_beside

ADDRESS = "0:" + "0a" * 32


async def run(
    database: str, folder: Path, *arguments: str, command: str = "market attribute", language: str = "en"
) -> subprocess.CompletedProcess[str]:
    config = folder / "config.yaml"
    task = "auctions_checker: {run: 'dozor_market.auctions:check_auctions', every: 60s}"
    config.write_text(f"language: {language}\ndatabase: {{url: '{database}'}}\ntasks:\n  {task}\n")
    return await run_beside(*command.split(), "-c", config, *arguments)


async def test_the_command_gives_an_unmatched_deposit_to_its_owner_once(
    pool: Pool, database: str, tmp_path: Path
) -> None:
    receipt = Receipt(Position(7, b"\x07" * 32), START, 1, Kind.TRANSFER, "TON", 500, "0:" + "0b" * 32)
    async with pool.acquire() as connection:
        await connection.execute("INSERT INTO market.ton_wallets (address) VALUES ($1)", ADDRESS)
        await start_cursor(connection, f"ton:{ADDRESS}", to_json(START))
        await credit(connection, Wallet(ADDRESS, None, 0, {}), START, [receipt], {})
        user = await create_user(connection, "ann")
        deposit = await connection.fetchval("SELECT id FROM market.deposits WHERE state = 'unmatched'")
    done = await run(database, tmp_path, str(deposit), str(user))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"500 units of TON from deposit {deposit} went to user {user}" in done.stdout
    async with pool.acquire() as connection:
        assert (await purse(connection, user))["available"] == 500
        assert await connection.fetchval("SELECT count(*) FROM dozor.audit WHERE action = 'attribute'") == 1
    again = await run(database, tmp_path, str(deposit), str(user))
    assert (again.returncode, again.stderr.strip()) == (
        1,
        f"dozor: deposit {deposit} is attributed, not unmatched",
    )


async def test_the_name_that_the_command_had_still_works_and_is_not_listed(
    pool: Pool, database: str, tmp_path: Path
) -> None:
    async with pool.acquire() as connection:
        user = await create_user(connection, "ann")
    done = await run(database, tmp_path, "7", str(user), command="attribute")
    assert (done.returncode, done.stderr.strip()) == (1, "dozor: there is no deposit 7")
    listed = await run_beside("--help")
    assert listed.returncode == 0
    assert "  market " in listed.stdout
    assert "  attribute " not in listed.stdout


def test_checkers_without_ton_do_not_import_it() -> None:
    code = (
        "import sys, dozor_market.auctions, dozor_market.presales, dozor_market.ton_deposits;"
        "print([m for m in sys.modules if m.split('.')[0] in ('tonutils', 'ton_core', 'pytoniq_core')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
