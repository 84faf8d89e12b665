"""A stand-in of Toncenter's API v2 on loopback: real cells, and faults on demand.

A `Chain` is one account's history, built with ton-core; a `Toncenter` serves it as `getTransactions` does,
in the form of the real answers. For the demo, the tests and the benchmark.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from ton_core import Address, Builder, Cell, InternalMsgInfo, MessageAny

OUR_WALLET: Final = Address((0, bytes.fromhex("0a" * 32)))
PAYER: Final = Address((0, bytes.fromhex("0b" * 32)))
OUR_JETTON_WALLET: Final = Address((0, bytes.fromhex("0c" * 32)))
NOBODY: Final = bytes(32)
LT_STEP: Final = 1_000_000
FIRST_UTIME: Final = 1_716_874_922

Fault = Callable[[list[dict[str, Any]]], web.StreamResponse | list[dict[str, Any]]]
"""What happens to one answer: another response altogether, or other transactions in it."""


def raw(address: Address) -> str:
    """workchain:hash."""
    text: str = address.to_str(is_user_friendly=False)
    return text


def text_body(comment: str | bytes | None) -> Cell:
    """The body of a transfer with a text comment; None: empty."""
    if comment is None:
        return Builder().end_cell()
    data = comment if isinstance(comment, bytes) else comment.encode()
    return Builder().store_uint(0, 32).store_snake_bytes(data).end_cell()


def notification_body(amount: int, sender: Address, comment: str | None) -> Cell:
    """TEP-74 transfer_notification, its payload in a reference."""
    body = Builder().store_uint(0x7362D09C, 32).store_uint(7, 64).store_coins(amount).store_address(sender)
    return body.store_bit_int(1).store_ref(text_body(comment)).end_cell()


def internal_message(
    source: Address, target: Address, value: int, body: Cell, lt: int, *, bounced: bool = False
) -> Cell:
    """int_msg_info of block.tlb, its body in a reference."""
    info = Builder().store_bit_int(0).store_bit_int(1).store_bit_int(0).store_bit_int(int(bounced))
    info = info.store_address(source).store_address(target).store_coins(value).store_bit_int(0)
    info = info.store_coins(0).store_coins(342_403).store_uint(lt - 1, 64).store_uint(FIRST_UTIME, 32)
    return info.store_bit_int(0).store_bit_int(1).store_ref(body).end_cell()


def external_message(target: Address) -> Cell:
    """ext_in_msg_info: what starts an outgoing transfer."""
    info = Builder().store_uint(2, 2).store_uint(0, 2).store_address(target).store_coins(0)
    return info.store_bit_int(0).store_bit_int(1).store_ref(text_body("signed order")).end_cell()


def ordinary_description(*, aborted: bool) -> Cell:
    """trans_ord without storage and action phases; an aborted one skipped its computation."""
    description = Builder().store_uint(0, 4).store_bit_int(1).store_bit_int(0).store_bit_int(0)
    if aborted:
        description = description.store_bit_int(0).store_uint(2, 2)  # skipped: no gas
    else:
        inner = Builder().store_var_uint(991, 3).store_var_uint(9183, 3).store_bit_int(0).store_int(0, 8)
        inner = (
            inner.store_int(0, 32).store_bit_int(0).store_uint(29, 32).store_bytes(NOBODY).store_bytes(NOBODY)
        )
        description = description.store_bit_int(1).store_uint(0b100, 3).store_coins(396_400)
        description = description.store_ref(inner.end_cell())
    return (
        description.store_bit_int(0).store_bit_int(int(aborted)).store_bit_int(0).store_bit_int(0).end_cell()
    )


STATE_UPDATE: Final = Builder().store_uint(0x72, 8).store_bytes(NOBODY).store_bytes(NOBODY).end_cell()
ORDINARY: Final = ordinary_description(aborted=False)
ABORTED: Final = ordinary_description(aborted=True)


def message_answer(cell: Cell) -> dict[str, Any]:
    """A message as Toncenter takes it apart."""
    message = MessageAny.deserialize(cell.begin_parse())
    info = message.info
    internal = info if isinstance(info, InternalMsgInfo) else None
    return {
        "@type": "raw.message",
        "source": internal.src.to_str() if internal else "",
        "destination": internal.dest.to_str() if internal else "",
        "value": str(internal.value_coins) if internal else "0",
        "fwd_fee": str(internal.fwd_fee) if internal else "0",
        "ihr_fee": "0",
        "created_lt": str(internal.created_lt) if internal else "0",
        "body_hash": base64.b64encode(message.body.hash).decode(),
        "msg_data": {"@type": "msg.dataRaw", "body": base64.b64encode(message.body.to_boc()).decode()},
        "message": "",
    }


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction of a chain."""

    lt: int
    hash: bytes
    data: str
    """Its cell, base64."""
    previous: tuple[int, bytes]
    answer: dict[str, Any]
    """As `getTransactions` has it."""


@dataclass(slots=True)
class Chain:
    """An account's history, oldest first; every method adds one transaction and returns it."""

    address: Address = OUR_WALLET
    entries: list[Entry] = field(default_factory=list)
    lt: int = 46_000_000_000_000
    utime: int = FIRST_UTIME

    def transfer(
        self,
        value: int,
        comment: str | bytes | None = None,
        *,
        sender: Address = PAYER,
        body: Cell | None = None,
        bounced: bool = False,
        aborted: bool = False,
    ) -> Entry:
        """Something comes in."""
        content = text_body(comment) if body is None else body
        message = internal_message(sender, self.address, value, content, self.lt, bounced=bounced)
        return self.add(message, aborted=aborted)

    def jettons(
        self, amount: int, comment: str | None = None, *, jetton_wallet: Address = OUR_JETTON_WALLET
    ) -> Entry:
        """A jetton wallet, ours or not, says that jettons came."""
        return self.transfer(1, sender=jetton_wallet, body=notification_body(amount, PAYER, comment))

    def outgoing(self, value: int) -> Entry:
        """We send something."""
        sent = internal_message(self.address, PAYER, value, text_body("payout"), self.lt + 2)
        return self.add(external_message(self.address), out=sent)

    def add(self, message: Cell | None, *, out: Cell | None = None, aborted: bool = False) -> Entry:
        """A transaction with these messages."""
        previous = (self.entries[-1].lt, self.entries[-1].hash) if self.entries else (0, NOBODY)
        self.lt += LT_STEP
        messages = Builder().store_maybe_ref(message)
        if out is None:
            messages = messages.store_bit_int(0)
        else:  # a dictionary of one entry: its label is the whole key 0, 15 bits (hml_same)
            leaf = Builder().store_uint(0b110, 3).store_uint(15, 4).store_ref(out).end_cell()
            messages = messages.store_bit_int(1).store_ref(leaf)
        cell = Builder().store_uint(0b0111, 4).store_bytes(self.address.hash_part).store_uint(self.lt, 64)
        cell = cell.store_bytes(previous[1]).store_uint(previous[0], 64).store_uint(self.utime, 32)
        cell = cell.store_uint(int(out is not None), 15).store_uint(0b1010, 4).store_ref(messages.end_cell())
        cell = cell.store_coins(396_402).store_bit_int(0).store_ref(STATE_UPDATE)
        built = cell.store_ref(ABORTED if aborted else ORDINARY).end_cell()
        data = base64.b64encode(built.to_boc()).decode()
        entry = Entry(self.lt, built.hash, data, previous, self._answer(built.hash, data, message, out))
        self.entries.append(entry)
        return entry

    def _answer(self, hash_: bytes, data: str, message: Cell | None, out: Cell | None) -> dict[str, Any]:
        friendly = self.address.to_str()
        return {
            "@type": "raw.transaction",
            "address": {"@type": "accountAddress", "account_address": friendly},
            "utime": self.utime,
            "data": data,
            "transaction_id": {
                "@type": "internal.transactionId",
                "lt": str(self.lt),
                "hash": base64.b64encode(hash_).decode(),
            },
            "fee": "396402",
            "storage_fee": "2",
            "other_fee": "396400",
            "in_msg": None if message is None else message_answer(message),
            "out_msgs": [] if out is None else [message_answer(out)],
        }


class Toncenter:
    """Serves chains. `faults` befall the next answers, one each; None in it lets one pass."""

    def __init__(self, *chains: Chain) -> None:
        self.chains = {raw(chain.address): chain for chain in chains}
        self.faults: deque[Fault | None] = deque()
        self.requests = 0
        self.latency = 0.0
        """Seconds each answer takes."""
        self.page_limit = 100

    def page(self, account: str, limit: int, start: tuple[int, bytes] | None) -> list[Entry]:
        """Newest first, from `start`, itself included."""
        entries = self.chains[account].entries
        end = len(entries)
        if start is not None:
            end = next((i for i in range(len(entries), 0, -1) if entries[i - 1].lt <= start[0]), 0)
            if end and (entries[end - 1].lt, entries[end - 1].hash) != start:
                end = 0
        return entries[max(0, end - limit) : end][::-1]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """getTransactions."""
        self.requests += 1
        if self.latency:
            await asyncio.sleep(self.latency)
        query = request.query
        account = raw(Address(query["address"]))
        start = (int(query["lt"]), bytes.fromhex(query["hash"])) if "lt" in query else None
        limit = min(int(query.get("limit", "10")), self.page_limit)
        found = [entry.answer for entry in self.page(account, limit, start)]
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            result = fault(found)
            if isinstance(result, web.StreamResponse):
                return result
            found = result
        return web.json_response({"ok": True, "result": found})


def status(code: int) -> Fault:
    """An error of the provider, as Toncenter words it."""
    return lambda _: web.json_response({"ok": False, "error": "stand-in", "code": code}, status=code)


def half(found: list[dict[str, Any]]) -> web.StreamResponse:
    """An answer that ends in the middle."""
    whole = json.dumps({"ok": True, "result": found})
    return web.Response(text=whole[: len(whole) // 2], content_type="application/json")


def body(text: str) -> Fault:
    """Any other text in place of the answer."""
    return lambda _: web.Response(text=text, content_type="application/json")


@asynccontextmanager
async def serve(toncenter: Toncenter, port: int = 0) -> AsyncIterator[str]:
    """Listen on loopback; the address is what the checker's `providers` take as url."""
    application = web.Application()
    application.router.add_get("/api/v2/getTransactions", toncenter.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"http://127.0.0.1:{bound}/api/v2"
    finally:
        await runner.cleanup()
