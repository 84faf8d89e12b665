"""The stand-in of Toncenter's API v2, beyond `getTransactions`: blocks, balances, get-methods, a rate limit.

Blocks are made when somebody asks for the newest one: all transactions that are in no block yet go into it.
There is one shard, whose numbers are those of the masterchain. Balances are without fees.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web
from ton_core import Address, Builder, Cell

from dozor_market.demo.chain import Chain, Entry

FIRST_BLOCK: Final = 1000
"""Number of the newest block before the first transaction."""
SHARD: Final = "-9223372036854775808"
ZERO_HASH: Final = base64.b64encode(bytes(32)).decode()


class ChainState:
    """What a provider has besides histories. `chains` by raw address."""

    def __init__(self, chains: dict[str, Chain]) -> None:
        self.chains = chains
        self.blocks: list[list[tuple[str, int]]] = []
        """The account and logical time of each transaction, by block."""
        self.clock: Callable[[], float] = time.time
        """Time of the newest block, seconds since the epoch."""
        self.masters: dict[str, dict[str, str]] = {}
        """Of each jetton's master: the jetton wallet by owner, raw addresses."""
        self.rps: float | None = None
        """Requests a second above which it answers 429; None: no limit."""
        self.measured = True
        """False: it serves nothing but `getTransactions`."""
        self.refused = 0
        self._sealed: dict[str, int] = {}
        self._frozen: dict[str, int] | None = None
        self._tokens = 0.0
        self._refilled = 0.0

    def freeze(self) -> None:
        """Serve the present state, and the present time, from now on."""
        now = self.clock()
        self.seal()
        self._frozen = {account: len(chain.entries) for account, chain in self.chains.items()}
        self.clock = lambda: now

    def thaw(self) -> None:
        """Serve what is new again."""
        self._frozen = None
        self.clock = time.time

    def visible(self, account: str) -> list[Entry]:
        """The account's transactions as this provider has them, oldest first."""
        entries = self.chains[account].entries
        return entries if self._frozen is None else entries[: self._frozen.get(account, 0)]

    def seal(self) -> int:
        """A block of everything that is in none yet. Returns the newest block's number."""
        fresh: list[tuple[str, int]] = []
        if self._frozen is None:
            for account, chain in self.chains.items():
                done = self._sealed.get(account, 0)
                fresh += [(account, index) for index in range(done, len(chain.entries))]
                self._sealed[account] = len(chain.entries)
        if fresh:
            self.blocks.append(fresh)
        return FIRST_BLOCK + len(self.blocks)

    def allowed(self) -> bool:
        """False: more requests than `rps` came within the last second."""
        if self.rps is None:
            return True
        now = time.monotonic()
        self._tokens = min(self.rps, self._tokens + (now - self._refilled) * self.rps)
        self._refilled = now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        return True

    def get(self, method: str, query: Mapping[str, str]) -> Any:
        """The result of a GET method. Raises KeyError for what there is not."""
        match method:
            case "getMasterchainInfo":
                return {"@type": "blocks.masterchainInfo", "last": block_id(-1, self.seal())}
            case "getBlockHeader":
                number = int(query["seqno"])
                return {"@type": "blocks.header", "id": block_id(-1, number), "gen_utime": int(self.clock())}
            case "shards":
                return {"@type": "blocks.shards", "shards": [block_id(0, int(query["seqno"]))]}
            case "getBlockTransactionsExt":
                return self._transactions(query)
            case "getAddressInformation":
                return self._account(raw_form(query["address"]))
            case _:
                raise KeyError(method)

    def _transactions(self, query: Mapping[str, str]) -> dict[str, Any]:
        number, count = int(query["seqno"]) - FIRST_BLOCK - 1, min(int(query.get("count", "40")), 256)
        found = self.blocks[number] if 0 <= number < len(self.blocks) else []
        start = 0
        if "after_lt" in query:
            account = f"0:{query['after_hash']}"
            start = 1 + next(
                index
                for index, (name, at) in enumerate(found)
                if name == account and self.chains[name].entries[at].lt == int(query["after_lt"])
            )
        page = found[start : start + count]
        return {
            "@type": "blocks.transactionsExt",
            "incomplete": start + count < len(found),
            "transactions": [self.chains[account].entries[at].answer for account, at in page],
        }

    def _account(self, account: str) -> dict[str, Any]:
        chain = self.chains.get(account)
        entries = [] if chain is None else self.visible(account)
        last = entries[-1] if entries else None
        return {
            "@type": "raw.fullAccountState",
            "balance": str(0 if chain is None else chain.balance),
            "code": "",
            "data": "",
            "last_transaction_id": {
                "@type": "internal.transactionId",
                "lt": str(last.lt if last else 0),
                "hash": base64.b64encode(last.hash).decode() if last else ZERO_HASH,
            },
            "state": "active" if entries else "uninitialized",
        }

    def run(self, address: str, method: str, stack: list[Any]) -> list[Any] | None:
        """The stack that a get-method of a jetton contract returns; None: there is no such contract."""
        contract = raw_form(address)
        if method == "get_wallet_address" and contract in self.masters:
            asked = raw_form(Cell.one_from_boc(stack[0][1]).begin_parse().load_address())
            wallet = self.masters[contract].get(asked, f"0:{'00' * 32}")
            return [address_entry(wallet)]
        if method == "get_wallet_data":
            for owner, chain in self.chains.items():
                if contract in chain.jetton_balances:
                    master = self._master_of(contract)
                    balance = ["num", hex(chain.jetton_balances[contract])]
                    return [balance, address_entry(owner), address_entry(master)]
        return None

    def _master_of(self, jetton_wallet: str) -> str:
        named = (name for name, wallets in self.masters.items() if jetton_wallet in wallets.values())
        return next(named, f"0:{'00' * 32}")

    async def answer_get(self, request: web.Request) -> web.StreamResponse:
        """Any other GET method."""
        if not self.allowed():
            return web.json_response({"ok": False, "error": "stand-in", "code": 429}, status=429)
        try:
            if not self.measured:
                raise KeyError(request.path)
            result = self.get(request.match_info["method"], request.query)
        except (KeyError, StopIteration):
            return web.json_response({"ok": False, "error": "no such method", "code": 404}, status=404)
        return web.json_response({"ok": True, "result": result})

    async def answer_run(self, request: web.Request) -> web.StreamResponse:
        """runGetMethod."""
        if not self.allowed():
            return web.json_response({"ok": False, "error": "stand-in", "code": 429}, status=429)
        asked = await request.json()
        stack = self.run(asked["address"], asked["method"], asked["stack"]) if self.measured else None
        exit_code = 0 if stack is not None else -13
        return web.json_response({"ok": True, "result": {"stack": stack or [], "exit_code": exit_code}})


def raw_form(address: Any) -> str:
    """workchain:hash."""
    text: str = Address(address).to_str(is_user_friendly=False)
    return text


def block_id(workchain: int, seqno: int) -> dict[str, Any]:
    """ton.blockIdExt."""
    return {
        "@type": "ton.blockIdExt",
        "workchain": workchain,
        "shard": SHARD,
        "seqno": seqno,
        "root_hash": ZERO_HASH,
        "file_hash": ZERO_HASH,
    }


def address_entry(address: str) -> list[Any]:
    """An address on the stack."""
    cell = Builder().store_address(Address(address)).end_cell()
    return ["cell", {"bytes": base64.b64encode(cell.to_boc()).decode()}]
