"""Trouble of one wallet or of one answer that must not pass for "no news", nor stop the other wallets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from ton_core import Address

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import Chain, raw
from dozor_market.demo.toncenter import Fault, body
from dozor_market.ton.crediting import from_json
from dozor_market.ton_deposits import DepositsError
from tests.checkers.test_ton_blocks import WALLETS, Fleet, open_fleet
from tests.checkers.town import CENT, Town, open_town

MASTERCHAIN = -1


@pytest.fixture
async def town(pool: Pool) -> AsyncIterator[Town]:
    async with open_town(pool) as town:
        yield town


@pytest.fixture
async def fleet(pool: Pool) -> AsyncIterator[Fleet]:
    """One of the wallets is of the masterchain."""
    chains = [
        Chain(address=Address((MASTERCHAIN if number == 0 else 0, bytes([number + 1]) * 32)))
        for number in range(WALLETS)
    ]
    async with open_fleet(pool, chains) as fleet:
        yield fleet


BROKEN = [{"lt": 5, "hash": "zz"}, {"lt": "5", "hash": "ab" * 32}, {"lt": 2**70, "hash": "ab" * 32}, [5], {}]


async def test_a_cursor_edited_into_nonsense_stops_its_wallet_and_no_other_also_in_blocks(
    fleet: Fleet,
) -> None:
    broken = [raw(chain.address) for chain in fleet.chains[5 : 5 + len(BROKEN)]]
    for address, position in zip(broken, BROKEN, strict=True):
        with pytest.raises(ValueError, match=r"dozor\.cursors"):
            from_json(position)
        await fleet.pool.execute(
            "UPDATE dozor.cursors SET position = $2 WHERE name = $1", f"ton:{address}", position
        )
    for chain in fleet.chains:
        chain.transfer(CENT)
    for _ in range(2):
        await fleet.check()
    assert await fleet.credited() == (2 * WALLETS - len(BROKEN)) * CENT
    told = [text for text, severity in fleet.context.alerts if severity == "critical"]
    assert len(told) == 1
    assert all(address in told[0] for address in broken)


async def test_a_wallet_of_the_masterchain_is_read_in_every_run_though_no_block_has_it(fleet: Fleet) -> None:
    fleet.chains[0].transfer(CENT)
    await fleet.check()
    assert await fleet.credited() == (WALLETS + 1) * CENT
    fleet.chains[0].transfer(CENT)
    fleet.chains[1].transfer(CENT)
    await fleet.check()
    assert await fleet.credited() == (WALLETS + 3) * CENT


async def test_blocks_are_read_again_after_a_number_that_was_never_true(fleet: Fleet) -> None:
    """As left by another network, or by a provider that made up its newest block."""
    await fleet.pool.execute(
        "UPDATE dozor.cursors SET position = '{\"seqno\": 4000000000}' WHERE name = 'ton blocks'"
    )
    for _ in range(2):
        for chain in fleet.chains:
            chain.transfer(CENT)
        await fleet.check()
    assert await fleet.credited() == 3 * WALLETS * CENT
    seqno = await fleet.pool.fetchval(
        "SELECT position->>'seqno' FROM dozor.cursors WHERE name = 'ton blocks'"
    )
    assert int(seqno) < 2000


def shuffled(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The oldest first, the others as they were."""
    return [*found[-1:], *found[:-1]]


@pytest.mark.parametrize("order", [lambda found: found[::-1], shuffled], ids=["ascending", "oldest first"])
async def test_a_page_that_begins_with_what_is_known_and_has_news_behind_it_is_not_taken_for_no_news(
    town: Town, order: Any
) -> None:
    toncenter, url = await town.provider()
    town.chain.transfer(CENT, "INV-1")
    await town.check(url)
    for _ in range(2):
        town.chain.transfer(CENT, "INV-1")
    toncenter.faults.extend([order] * 2)
    for _ in range(2):
        with pytest.raises(DepositsError):
            await town.check(url)
    (text,) = town.told("returned what is no history")
    assert url in text
    await town.check(url)
    assert await town.balance() == 3 * CENT


REFUSALS: dict[str, tuple[Fault, str]] = {
    "ok false with status 200": (
        lambda _: web.json_response({"ok": False, "error": "LITE_SERVER_NOTREADY", "code": 500}),
        "LITE_SERVER_NOTREADY",
    ),
    "no result": (body('{"ok": true, "result": null}'), "refused"),
    "a page for browsers": (body("<html>maintenance</html>"), "maintenance"),
    "an empty answer": (body(""), "no JSON object"),
    "null": (body("null"), "no JSON object"),
    "an answer that is cut off": (body('{"ok": true, "result": [{"da'), "no JSON object"),
}


@pytest.mark.parametrize(("fault", "said"), list(REFUSALS.values()), ids=list(REFUSALS))
async def test_a_provider_that_says_it_cannot_answer_is_not_accused_of_a_false_history(
    town: Town, fault: Fault, said: str
) -> None:
    toncenter, url = await town.provider()
    town.chain.transfer(CENT, "INV-1")
    toncenter.faults.extend([fault] * 2)
    for _ in range(2):
        with pytest.raises(DepositsError, match=said):
            await town.check(url)
    assert town.context.alerts == []  # the run fails, which says it; the incident waits
    kinds = await town.pool.fetch("SELECT kind FROM market.ton_incidents")
    assert [row["kind"] for row in kinds] == ["provider_failing"]
    await town.check(url)
    assert await town.balance() == CENT


async def test_cells_in_either_alphabet_of_base64_are_read(town: Town) -> None:
    toncenter, url = await town.provider()
    for _ in range(5):
        town.chain.transfer(CENT, "INV-1")

    def url_safe(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        text = json.dumps([one["data"] for one in found]).replace("/", "_").replace("+", "-")
        return [{**one, "data": data} for one, data in zip(found, json.loads(text), strict=True)]

    toncenter.faults.append(url_safe)
    await town.check(url)
    assert await town.balance() == 5 * CENT
