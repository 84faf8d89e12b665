"""TonAPI and lite servers: each call is mapped to the port. TonAPI is a stand-in in the shape of its v2."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

from aiohttp import web
from ton_core import Address, BlockIdExt, Cell, NetworkGlobalID, WorkchainID

from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, PAYER, Chain, raw
from dozor_market.demo.toncenter import Toncenter
from dozor_market.ton.messages.transactions import Position
from dozor_market.ton.providers.sources import (
    Head,
    LiteSource,
    ProviderKind,
    ProviderOptions,
    State,
    open_source,
    to_cell,
)
from dozor_market.ton.wallets.jettons import read_address, read_wallet_data

MASTER = "0:" + "4d" * 32


def hexed(entry: Any) -> str:
    return base64.b64decode(entry.data).hex()


class Tonapi:
    """Serves a chain as TonAPI v2 does."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.state = Toncenter(chain)
        self.state.masters = {MASTER: {raw(OUR_WALLET): raw(OUR_JETTON_WALLET)}}

    async def head(self, _: web.Request) -> web.Response:
        return web.json_response({"workchain_id": -1, "seqno": 1234, "gen_utime": 1716874922})

    async def block(self, request: web.Request) -> web.Response:
        assert request.match_info["seqno"] == "1234"
        own = {"raw": hexed(self.chain.entries[0]), "account": {"address": raw(self.chain.address)}}
        twin = {"raw": "00", "account": {"address": f"-1:{self.chain.address.hash_part.hex()}"}}
        return web.json_response({"transactions": [own, twin]})

    async def account(self, request: web.Request) -> web.Response:
        if request.match_info["account"] != raw(self.chain.address):
            return web.json_response({"error": "entity not found"}, status=404)
        last = self.chain.entries[-1]
        return web.json_response(
            {
                "address": raw(self.chain.address),
                "balance": self.chain.balance,
                "status": "active",
                "last_transaction_lt": last.lt,
                "last_transaction_hash": last.hash.hex(),
            }
        )

    async def transactions(self, request: web.Request) -> web.Response:
        before = int(request.query.get("before_lt", 2**63))
        found = [entry for entry in self.chain.entries if entry.lt < before][::-1]
        found = found[: int(request.query["limit"])]
        return web.json_response({"transactions": [{"raw": hexed(entry)} for entry in found]})

    async def method(self, request: web.Request) -> web.Response:
        asked = await request.json()
        name = request.match_info["method"]
        stack: list[Any] = []
        for one in asked["args"]:
            assert one["type"] == "slice"
            cell = Address(one["value"]).to_cell()
            stack.append(["tvm.Slice", base64.b64encode(cell.to_boc()).decode()])
        found = self.state.run(request.match_info["account"], name, stack)
        if found is None:
            return web.json_response({"success": False, "exit_code": -13, "stack": []})
        answer = [
            {"type": "num", "num": value}
            if kind == "num"
            else {"type": "cell", "cell": base64.b64decode(value["bytes"]).hex()}
            for kind, value in found
        ]
        return web.json_response({"success": True, "exit_code": 0, "stack": answer})


async def test_every_call_of_tonapi_is_mapped() -> None:
    chain = Chain()
    first = chain.transfer(7, "INV-1")
    second = chain.jettons(700, "INV-1")
    tonapi = Tonapi(chain)
    application = web.Application()
    application.router.add_get("/v2/blockchain/masterchain-head", tonapi.head)
    application.router.add_get("/v2/blockchain/masterchain/{seqno}/transactions", tonapi.block)
    application.router.add_get("/v2/blockchain/accounts/{account}", tonapi.account)
    application.router.add_get("/v2/blockchain/accounts/{account}/transactions", tonapi.transactions)
    application.router.add_post("/v2/blockchain/accounts/{account}/methods/{method}", tonapi.method)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v2"
    options = ProviderOptions(ProviderKind.TONAPI, url, rps=1000)
    close, source = await open_source(options, NetworkGlobalID.MAINNET)
    account = raw(OUR_WALLET)
    try:
        assert await source.head() == Head(1234, 1716874922)
        assert [to_cell(one).hash for one in await source.block(1234)] == [first.hash]
        assert await source.state(account) == State(Position(second.lt, second.hash), chain.balance)
        assert await source.state(raw(PAYER)) == State(None, 0)
        newest = await source.page(account, None)
        assert [to_cell(one).hash for one in newest] == [second.hash, first.hash]
        older = await source.page(account, Position(first.lt, first.hash))
        assert [to_cell(one).hash for one in older] == [first.hash]
        data = read_wallet_data(await source.run(raw(OUR_JETTON_WALLET), "get_wallet_data", []))
        assert (data.balance, data.owner, data.master) == (700, account, MASTER)
        named = await source.run(MASTER, "get_wallet_address", [OUR_WALLET])
        assert read_address(named) == raw(OUR_JETTON_WALLET)
    finally:
        await close()
        await runner.cleanup()


class LiteClient:
    """In place of tonutils' LiteBalancer, with the models that it returns."""

    def __init__(self, entry: Any) -> None:
        self.entry = entry
        self.asked: list[tuple[int, int, int | None]] = []

    async def get_masterchain_info(self) -> Any:
        return SimpleNamespace(last_block=lambda: self._id(-1, -(2**63), 10))

    async def lookup_block(self, workchain: WorkchainID, shard: int, seqno: int) -> Any:
        self.asked.append((int(workchain.value), shard, seqno))
        info = SimpleNamespace(gen_utime=1716874922)
        return self._id(int(workchain.value), shard, seqno), SimpleNamespace(info=info)

    async def get_all_shards_info(self, block: BlockIdExt) -> list[BlockIdExt]:
        return [self._id(0, -(2**63), block.seqno + 100)]

    async def get_block_transactions(self, block: BlockIdExt) -> list[Any]:
        assert (block.workchain, block.seqno) == (0, 110)
        return [SimpleNamespace(cell=Cell.one_from_boc(self.entry.data))]

    async def get_info(self, _: str) -> Any:
        return SimpleNamespace(
            balance=5, last_transaction_lt=self.entry.lt, last_transaction_hash=self.entry.hash.hex()
        )

    @staticmethod
    def _id(workchain: int, shard: int, seqno: int) -> BlockIdExt:
        return BlockIdExt(workchain, shard, seqno, bytes(32), bytes(32))


async def test_head_block_and_state_of_lite_servers_are_mapped() -> None:
    entry = Chain().transfer(7, "INV-1")
    client = LiteClient(entry)
    source = LiteSource(NetworkGlobalID.MAINNET, "lite")
    source._client = client  # type: ignore[assignment]
    assert await source.head() == Head(10, 1716874922)
    assert [to_cell(one).hash for one in await source.block(10)] == [entry.hash]
    assert (0, -(2**63), 110) in client.asked
    assert await source.state(raw(OUR_WALLET)) == State(Position(entry.lt, entry.hash), 5)
