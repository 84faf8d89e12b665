"""Messages of any shape, and answers of any shape: nothing is credited that did not stay with us.

What should be booked is computed here from the ingredients of each message, by the rules of docs.ton.org and
TEP-74, without the product's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ton_core import Address, Builder, Cell

from dozor.storage.postgres.pool import Pool, create_pool
from dozor_market.decisions.attribution import issue_invoice
from dozor_market.demo.chain import (
    FORWARD_FEE,
    PAYER,
    Chain,
    external_message,
    internal_message,
    raw,
    text_body,
)
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import audit, create_user
from dozor_market.reconcile import reconcile
from dozor_market.ton.messages.arrival import AccountState, Bounce, Compute, Delivery
from dozor_market.ton_deposits import DepositsError, check_transactions
from tests.checkers.stage import StageContext, purse
from tests.effort import cases

EXAMPLES = cases(6, 12, variable="DOZOR_EXAMPLES")
BOUNDED = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
CODE = "INV-1"
NOTIFICATION, EXCESSES, ENCRYPTED = 0x7362D09C, 0xD53276DB, 0x2167DA4B
DUST = 10_000_000
"""Nanotons: the checker's default."""


@dataclass(frozen=True)
class Shape:
    """The ingredients of one message that comes in. `names_code`: its comment is the invoice's code."""

    body: Cell
    operation: int | None
    """None: a body of fewer than 32 bits."""
    names_code: bool
    jettons: int
    """In a whole notification, whoever sent it; -1: it is cut off."""
    from_jetton_wallet: bool
    value: int
    delivery: Delivery
    sends_on: bool
    """The contract sends value on in the same transaction."""


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Cell, int | None, bool, int]:
    """A body, its operation, whether it names the code, and the jettons that it announces."""
    kind = draw(st.sampled_from(["short", "text", "code", "operation", "notification", "cut off"]))
    tail = draw(st.binary(max_size=40))
    comment = draw(st.sampled_from([CODE, f" {CODE} ", CODE.lower(), "INV-2", "", "\u200b", "тест", "\xff"]))
    named = comment.strip().upper() == CODE
    match kind:
        case "short":
            return Builder().store_uint(draw(st.integers(0, 2**31 - 1)), 31).end_cell(), None, False, 0
        case "text":
            return Builder().store_uint(0, 32).store_bytes(b"\xff" + tail).end_cell(), 0, False, 0
        case "code":
            return text_body(comment), 0, named, 0
        case "operation":
            known = [EXCESSES, ENCRYPTED, 0xFFFFFFFF, 1]
            operation = draw(st.sampled_from(known) | st.integers(1, 2**32 - 1))
            cell = Builder().store_uint(operation, 32).store_bytes(CODE.encode() + tail).end_cell()
            return cell, operation, False, -1 if operation == NOTIFICATION else 0
        case _:
            amount = draw(st.sampled_from([0, 1, 700, 10**12, 2**63, 2**120 - 1]))
            body = Builder().store_uint(NOTIFICATION, 32).store_uint(7, 64)
            body = body.store_coins(amount).store_address(PAYER)
            if kind == "cut off":
                return Cell(body.end_cell().bits[: draw(st.integers(32, 99))], []), NOTIFICATION, False, -1
            body = body.store_bit_int(1).store_ref(text_body(comment))
            return body.end_cell(), NOTIFICATION, named, amount


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Flags, phases, value and body in any combination, also those that validators never produce."""
    body, operation, named, jettons = draw(bodies())
    delivery = Delivery(
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from(AccountState)),
        draw(st.sampled_from(Compute)),
        draw(st.sampled_from(Bounce)),
    )
    # Either far below or beyond a bigint: the balances of all examples add up in one ledger.
    values = [0, 1, DUST - 1, DUST, 2**63, 2**120 - 1]
    value = draw(st.sampled_from(values) | st.integers(0, 10**12))
    return Shape(body, operation, named, jettons, draw(st.booleans()), value, delivery, draw(st.booleans()))


@dataclass
class Expected:
    """Smallest units: to the user, by currency, and of everything in TON that stayed and fits the ledger."""

    ton: int = 0
    jettons: int = 0
    booked_ton: int = 0


def expect(shape: Shape, expected: Expected) -> None:
    """What the ledger should have of this message."""
    returned = shape.delivery.bounce_phase is Bounce.OK
    ours = shape.from_jetton_wallet and shape.operation == NOTIFICATION
    if ours and shape.jettons < 0:
        return  # cannot be read: a person looks at it
    announced = shape.jettons if ours and not shape.delivery.bounced else 0
    if returned or max(announced, shape.value) >= 2**63:  # beyond the ledger: a person looks at it
        return
    if shape.delivery.bounced:
        expected.booked_ton += shape.value if shape.value >= DUST else 0
    elif shape.operation == NOTIFICATION or shape.operation == EXCESSES:
        expected.booked_ton += shape.value
        if ours and shape.names_code:
            expected.jettons += shape.jettons
    elif shape.value >= DUST:
        expected.booked_ton += shape.value
        if shape.operation == 0 and shape.names_code and not shape.sends_on:
            expected.ton += shape.value


class Scene:
    """A wallet, its jetton wallet and a user, all new in each example, on one database."""

    def __init__(self, pool: Pool, stack: AsyncExitStack) -> None:
        self.pool = pool
        self._stack = stack
        self.address = Address((0, os.urandom(32)))
        self.jetton_wallet = Address((0, os.urandom(32)))
        self.chain = Chain(address=self.address)
        self.context = StageContext(pool)
        self.user = 0

    async def open(self) -> None:
        await self.pool.execute("UPDATE market.ton_wallets SET enabled = false")
        await self.pool.execute("DELETE FROM market.invoices")
        async with self.pool.acquire() as connection:
            self.user = await create_user(connection, "payer")
            await issue_invoice(connection, CODE, self.user)

    async def provider(self, toncenter: Toncenter) -> str:
        return await self._stack.enter_async_context(serve(toncenter))

    def add(self, shape: Shape) -> None:
        sender = self.jetton_wallet if shape.from_jetton_wallet else PAYER
        message = internal_message(
            sender,
            self.address,
            shape.value,
            shape.body,
            self.chain.lt,
            bounce=shape.delivery.bounce,
            bounced=shape.delivery.bounced,
        )
        out = internal_message(self.address, PAYER, FORWARD_FEE, text_body("on"), self.chain.lt)
        self.chain.add(
            message, out=out if shape.sends_on else None, delivery=shape.delivery, value=shape.value
        )

    async def check(self, *urls: str) -> None:
        await check_transactions(
            self.context,
            providers=[{"kind": "toncenter", "url": url, "rps": 10_000, "timeout": 2} for url in urls],
            wallet=raw(self.address),
            jettons={"USDT": raw(self.jetton_wallet)},
            behind_after=None,
        )

    async def balances(self) -> tuple[int, int]:
        async with self.pool.acquire() as connection:
            ton, usdt = await purse(connection, self.user), await purse(connection, self.user, "USDT")
        return ton["available"], usdt["available"]

    async def booked(self) -> int:
        """Nanotons that the ledger has from this wallet."""
        found = await self.pool.fetchval(
            "SELECT coalesce(-sum(p.amount), 0)::text FROM market.movements m"
            " JOIN market.postings p ON p.movement_id = m.id AND p.currency = 'TON'"
            " JOIN market.accounts a ON a.id = p.account_id AND a.kind = 'external'"
            " WHERE starts_with(m.reference, 'ton:' || $1)",
            raw(self.address),
        )
        return int(found)

    async def audited(self) -> None:
        async with self.pool.acquire() as connection:
            assert await audit(connection) == []


class Stage:
    """Runs examples on one loop and one pool."""

    def __init__(self, database: str) -> None:
        self.loop = asyncio.Runner()
        self.pool = self.loop.run(create_pool(database, min_size=1, max_size=8))

    def play(self, example: Any) -> None:
        """`example`: takes a Scene and returns a coroutine."""

        async def act() -> None:
            async with AsyncExitStack() as stack:
                scene = Scene(self.pool, stack)
                await scene.open()
                await example(scene)
                await scene.audited()

        self.loop.run(act())


@pytest.fixture
def stage(database: str) -> Any:
    stage = Stage(database)
    yield stage
    stage.pool.terminate()
    stage.loop.close()


def test_messages_of_any_shape_are_booked_by_what_stayed_and_credited_to_nobody_else(stage: Stage) -> None:
    @BOUNDED
    @given(st.lists(shapes(), min_size=1, max_size=12))
    def judge(found: list[Shape]) -> None:
        async def example(scene: Scene) -> None:
            expected = Expected()
            for shape in found:
                scene.add(shape)
                expect(shape, expected)
            scene.chain.transfer(DUST, CODE)  # the wallet goes on behind whatever there was
            urls = [await scene.provider(Toncenter(scene.chain)) for _ in range(2)]
            for _ in range(2):
                await scene.check(*urls)
            assert await scene.balances() == (expected.ton + DUST, expected.jettons)
            assert await scene.booked() == expected.booked_ton + DUST

        stage.play(example)

    judge()


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**130)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "\0", "\ud800", "0x", "-1", "9" * 40, "1e3", "te6cckEBAQEAAgAAAEysuc0=", "http://x"]
    )
    | st.text(max_size=20)
)
NONSENSE = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["ok", "result", "error", "code", "data", "last", "seqno", "stack"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@st.composite
def manglings(draw: st.DrawFn) -> tuple[list[int], Any, str]:
    """Which node of an answer is replaced, by what, and how the answer is given."""
    path = draw(st.lists(st.integers(0, 20), max_size=6))
    return path, draw(NONSENSE), draw(st.sampled_from(["replace", "replace", "whole", "error", "bytes"]))


def mangled(answer: Any, mangling: tuple[list[int], Any, str]) -> web.Response:
    path, value, way = mangling
    if way == "bytes":
        return web.Response(body=repr(value).encode("utf-8", "replace"), content_type="application/json")
    if way == "error":
        text = json.dumps({"ok": False, "error": value, "code": 500})
        return web.Response(text=text, status=500, content_type="application/json")
    if way == "whole":
        return web.Response(text=json.dumps(value), content_type="application/json")
    whole = copy.deepcopy(answer)
    place, key, node = None, None, whole
    for step in path:
        keys = (
            list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        )
        if not keys:
            break
        place, key = node, keys[step % len(keys)]
        node = node[key]
    if place is None:
        whole = value
    else:
        place[key] = value
    return web.Response(text=json.dumps(whole), content_type="application/json")


class Mangler(Toncenter):
    """Honest transactions, and each answer mangled in turn, whatever was asked for."""

    def __init__(self, chain: Chain, found: list[tuple[list[int], Any, str]]) -> None:
        super().__init__(chain)
        self._manglings = found
        self.answers = 0

    def _spoil(self, response: web.StreamResponse) -> web.StreamResponse:
        assert isinstance(response, web.Response)
        assert response.text is not None
        self.answers += 1
        return mangled(json.loads(response.text), self._manglings[self.answers % len(self._manglings)])

    async def answer(self, request: web.Request) -> web.StreamResponse:
        return self._spoil(await super().answer(request))

    async def answer_get(self, request: web.Request) -> web.StreamResponse:
        return self._spoil(await super().answer_get(request))

    async def answer_run(self, request: web.Request) -> web.StreamResponse:
        return self._spoil(await super().answer_run(request))


def test_answers_of_any_shape_confirm_nothing_and_do_not_stop_honest_providers(stage: Stage) -> None:
    @BOUNDED
    @given(st.lists(manglings(), min_size=1, max_size=6), st.sampled_from(["page", "blocks"]))
    def judge(found: list[tuple[list[int], Any, str]], way: str) -> None:
        async def example(scene: Scene) -> None:
            lie = Chain(address=scene.address)
            for _ in range(3):
                scene.chain.transfer(DUST, CODE)
                lie.transfer(5 * DUST, CODE)
            scene.chain.add(external_message(scene.address))
            mangler = Mangler(lie, found)
            honest = [await scene.provider(Toncenter(scene.chain)) for _ in range(2)]
            odd = await scene.provider(mangler)
            with contextlib.suppress(DepositsError):
                await scene.check(odd, honest[0])
            assert await scene.balances() == (0, 0)  # nobody confirms the honest one
            # Two honest ones are enough, unless a lie that can be read contradicts them.
            blocks = {"blocks_from": 1} if way == "blocks" else {}
            await check_transactions(
                scene.context,
                providers=[
                    {"kind": "toncenter", "url": url, "rps": 10_000, "timeout": 2} for url in [odd, *honest]
                ],
                wallet=raw(scene.address),
                behind_after=None,
                **blocks,  # type: ignore[arg-type]
            )
            assert await scene.balances() in ((3 * DUST, 0), (0, 0))
            await scene.check(*honest)
            assert await scene.balances() == (3 * DUST, 0)
            await reconcile(
                scene.context,
                providers=[{"kind": "toncenter", "url": url, "rps": 10_000} for url in [odd, *honest]],
                recheck=0.0,
            )

        stage.play(example)

    judge()
