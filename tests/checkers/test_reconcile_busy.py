"""The reconciliation while deposits arrive: no false alarm, no hidden fault, no silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, raw
from dozor_market.demo.toncenter import Toncenter, serve
from tests.checkers.stage import StageContext
from tests.checkers.test_reconcile import MASTER, Place
from tests.checkers.town import CENT, open_town

Event = Callable[[], Awaitable[None]]


class Busy(Toncenter):
    """Something happens whenever it has answered for a balance (`after_state`) or a jetton (`after_run`)."""

    after_state: Event | None = None
    before_state: Event | None = None
    after_run: Event | None = None

    async def answer_get(self, request: web.Request) -> web.StreamResponse:
        state = request.match_info["method"] == "getAddressInformation"
        if state and self.before_state is not None:
            await self.before_state()
        response = await super().answer_get(request)
        if state and self.after_state is not None:
            await self.after_state()
        return response

    async def answer_run(self, request: web.Request) -> web.StreamResponse:
        response = await super().answer_run(request)
        if self.after_run is not None:
            await self.after_run()
        return response


@pytest.fixture
async def place(pool: Pool) -> AsyncIterator[tuple[Place, Busy]]:
    """One provider, so that nothing comes between the answers of two."""
    async with open_town(pool, Place, audited=False) as place:
        assert isinstance(place, Place)
        busy = Busy(place.chain)
        busy.masters = {MASTER: {raw(OUR_WALLET): raw(OUR_JETTON_WALLET)}}
        async with serve(busy) as url:
            place.urls = [url]
            place.context = StageContext(pool)
            place.chain.transfer(5 * CENT, "INV-1")
            place.chain.jettons(700, "INV-1")
            await place.check(url)
            assert await place.reconcile() == []
            yield place, busy


async def test_a_deposit_that_is_booked_just_after_the_balance_was_asked_for_is_no_fault(
    place: tuple[Place, Busy],
) -> None:
    town, busy = place

    async def deposit() -> None:
        town.chain.transfer(CENT, "INV-1")
        await town.check(*town.urls)

    busy.after_state = deposit
    for _ in range(3):
        assert await town.reconcile() == []


async def test_a_wallet_that_is_read_and_gets_more_is_no_fault(place: tuple[Place, Busy]) -> None:
    town, busy = place

    async def deposit() -> None:
        await town.check(*town.urls)
        town.chain.transfer(CENT, "INV-1")

    busy.before_state = deposit
    for _ in range(3):
        assert await town.reconcile() == []


async def test_a_wallet_whose_reading_is_behind_in_each_run_but_goes_on_is_no_fault(
    place: tuple[Place, Busy],
) -> None:
    town, _ = place
    for _ in range(4):
        town.chain.transfer(CENT, "INV-1")
        assert await town.reconcile() == []
        await town.check(*town.urls)
    town.chain.transfer(CENT, "INV-1")  # and now the reading has stopped
    assert await town.reconcile() == []
    (line,) = await town.reconcile()
    assert "it is not compared" in line
    town.chain.transfer(CENT, "INV-1")
    assert await town.reconcile() == []  # known
    await town.check(*town.urls)
    assert await town.reconcile() == []
    assert await town.pool.fetchval("SELECT count(*) FROM market.ton_incidents WHERE ended_at IS NULL") == 0


async def test_jettons_that_are_booked_just_after_their_wallet_was_asked_are_no_fault(
    place: tuple[Place, Busy],
) -> None:
    town, busy = place

    async def deposit() -> None:
        town.chain.jettons(700, "INV-1")
        await town.check(*town.urls)

    busy.after_run = deposit
    for _ in range(3):
        assert await town.reconcile() == []
    busy.after_run = None
    assert await town.reconcile() == []
    assert await town.pool.fetchval("SELECT count(*) FROM market.ton_incidents WHERE ended_at IS NULL") == 0


async def test_jettons_whose_notification_is_on_its_way_at_the_last_look_are_no_fault(
    place: tuple[Place, Busy],
) -> None:
    town, busy = place
    wallet = raw(OUR_JETTON_WALLET)
    looks = 0

    async def arrive() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            town.chain.transfer(CENT, "INV-1")
        if looks == 2:  # the last look has nothing else that is in doubt
            town.chain.transfer(CENT, "INV-1")
            await town.check(*town.urls)
            town.chain.jetton_balances[wallet] += 700

    town.chain.transfer(CENT, "INV-1")
    busy.after_state = arrive
    assert await town.reconcile() == []
    assert looks == 3
    busy.after_state = None
    town.chain.jetton_balances[wallet] -= 700
    town.chain.jettons(700, "INV-1")
    await town.check(*town.urls)
    assert await town.reconcile() == []


async def test_books_not_compared_for_hours_are_reported_once(place: tuple[Place, Busy]) -> None:
    town, _ = place
    for _ in range(2):
        town.chain.transfer(CENT, "INV-1")
        assert await town.reconcile() == []
        await town.check(*town.urls)
    await town.pool.execute(
        "UPDATE market.ton_incidents SET seen_at = seen_at - interval '7 hours' WHERE kind = 'not_compared'"
    )
    town.chain.transfer(CENT, "INV-1")
    (line,) = await town.reconcile()
    assert raw(OUR_WALLET) in line
    assert await town.reconcile(recheck=0.0) != [line]
    await town.check(*town.urls)
    assert await town.reconcile() == []
    assert await town.pool.fetchval("SELECT count(*) FROM market.ton_incidents WHERE ended_at IS NULL") == 0


async def test_a_fault_of_the_books_is_found_while_a_wallet_is_never_read_to_its_end(
    place: tuple[Place, Busy],
) -> None:
    town, busy = place

    async def deposit() -> None:
        await town.check(*town.urls)
        town.chain.transfer(CENT, "INV-1")

    busy.before_state = deposit
    assert await town.reconcile() == []
    await town.pool.execute("UPDATE market.deposits SET amount = amount + 1 WHERE currency = 'USDT'")
    (line,) = await town.reconcile()
    assert "701 USDT units" in line
