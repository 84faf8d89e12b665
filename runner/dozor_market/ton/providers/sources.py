"""The kinds of TON API, each behind the same port: pages, the newest block, blocks, balances, get-methods."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final, Protocol, TypeAlias, assert_never
from urllib.parse import urlsplit

from ton_core import Cell, NetworkGlobalID, WorkchainID
from tonutils.clients import LiteBalancer, TonapiClient, ToncenterClient
from tonutils.exceptions import TonutilsError
from tonutils.types import DEFAULT_HTTP_RETRY_POLICY

from dozor.language import msg
from dozor_market.ton.messages.transactions import Position, UnreadableTransactionError
from dozor_market.ton.providers.http import open_session

PAGE: Final = 100
"""Transactions asked for at once: the most Toncenter and TonAPI give."""
BLOCK_PAGE: Final = 256
"""Transactions of a block asked for at once: the most that Toncenter gives."""
BLOCK_KEYS: Final = ("workchain", "shard", "seqno")
MAX_COINS: Final = 2**120 - 1
"""Largest amount that a message or a balance can hold: VarUInteger 16 of block.tlb."""
REFUSAL: Final = 200
"""Characters kept of a provider's refusal."""
KEPT_TOPS: Final = 64
"""Masterchain blocks whose shards are remembered."""
MASTER_SHARD: Final = -(2**63)
"""The only shard of the masterchain."""


class ProviderKind(StrEnum):
    TONCENTER = "toncenter"
    TONAPI = "tonapi"
    LITE = "lite"
    """Public lite servers of the network."""


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """How to reach one. `url` None: the public one. `rps`: requests a second that it allows us."""

    kind: ProviderKind
    url: str | None = None
    api_key: str | None = None
    rps: int | None = None
    timeout: float = 10.0

    def __post_init__(self) -> None:
        """Raises ValueError for an address that would show a key in messages, or that is none."""
        if self.url is not None:
            if "?" in self.url or "@" in self.url:
                raise ValueError(msg("error-provider-url"))
            _ = urlsplit(self.url).port  # ValueError for a port that is no number


class ProviderRefusedError(OSError):
    """The provider answered, and not with what was asked for. It says nothing about the wallet."""


Raw: TypeAlias = Cell | str | None
"""A transaction as a source gives it: taken apart already, or a bag of cells, or missing."""


@dataclass(frozen=True, slots=True)
class Head:
    """A provider's newest masterchain block. `utime`: seconds since the epoch (UTC)."""

    seqno: int
    utime: int

    def __post_init__(self) -> None:
        """Raises ValueError for what no block has: both fields are 32 bits in block.tlb."""
        if not 0 <= self.seqno < 2**32 or not 0 <= self.utime < 2**32:
            raise ValueError("no masterchain block")


@dataclass(frozen=True, slots=True)
class State:
    """An account as of its newest transaction `at`; None: it has none. `balance` in nanotons."""

    at: Position | None
    balance: int

    def __post_init__(self) -> None:
        """Raises ValueError for a balance that no account has: 120 bits in block.tlb (Grams)."""
        if not 0 <= self.balance <= MAX_COINS:
            raise ValueError("no balance")


@dataclass(frozen=True, slots=True)
class Shard:
    """A block of a shard. `shard`: its 64-bit prefix as an unsigned number, the lowest set bit ends it."""

    workchain: int
    shard: int
    seqno: int


class Source(Protocol):
    """One provider. `name` never holds a key."""

    name: str

    async def page(self, account: str, start: Position | None) -> Sequence[Raw]:
        """At most PAGE transactions, newest first, from `start` (itself included) or from the newest."""

    async def head(self) -> Head:
        """The newest masterchain block."""

    async def block(self, seqno: int) -> Sequence[Raw]:
        """Every transaction of the base workchain that this masterchain block is the first to contain."""

    async def state(self, account: str) -> State:
        """The account's balance and newest transaction."""

    async def run(self, address: str, method: str, stack: Sequence[Any]) -> list[Any]:
        """The result of a get-method: numbers and cells."""


def new_blocks(before: Sequence[Shard], after: Sequence[Shard]) -> list[Shard]:
    """The blocks of shards after `before` up to `after`, the newest blocks of two masterchain blocks. Pure.

    A shard that was split or merged continues the numbers of those that its prefix overlaps (docs.ton.org,
    "Shards": the number of a block is that of its predecessor, the larger of two, plus one).
    """
    found: list[Shard] = []
    for top in after:
        known = [old.seqno for old in before if old.workchain == top.workchain and _overlap(old, top)]
        first = max(known, default=top.seqno - 1) + 1
        found += [Shard(top.workchain, top.shard, seqno) for seqno in range(first, top.seqno + 1)]
    return found


def _overlap(one: Shard, other: Shard) -> bool:
    larger = max(one.shard & -one.shard, other.shard & -other.shard)
    return (one.shard ^ other.shard) & ~((larger << 1) - 1) & (2**64 - 1) == 0


class ToncenterSource:
    """Toncenter's API v2: pages by logical time and hash; `data` is the transaction's cell."""

    def __init__(self, client: ToncenterClient, name: str) -> None:
        self._client = client
        self._provider = client.provider
        self._tops: dict[int, list[Shard]] = {}
        self.name = name

    async def head(self) -> Head:
        last = (await self._get("/getMasterchainInfo"))["last"]
        header = await self._get("/getBlockHeader", **{key: last[key] for key in BLOCK_KEYS})
        return Head(int(last["seqno"]), int(header["gen_utime"]))

    async def block(self, seqno: int) -> Sequence[Raw]:
        before, after = await self._shards(seqno - 1), await self._shards(seqno)
        found: list[Raw] = []
        for block in new_blocks(before, after):
            found += await self._transactions(block)
        return found

    async def _shards(self, seqno: int) -> list[Shard]:
        if seqno not in self._tops:
            answer = await self._get("/shards", seqno=seqno)
            while len(self._tops) >= KEPT_TOPS:
                del self._tops[next(iter(self._tops))]
            self._tops[seqno] = [
                Shard(int(one["workchain"]), int(one["shard"]) % 2**64, int(one["seqno"]))
                for one in answer["shards"]
            ]
        return self._tops[seqno]

    async def _transactions(self, block: Shard) -> list[Raw]:
        where = {
            "workchain": block.workchain,
            "shard": block.shard - 2**64 if block.shard >= 2**63 else block.shard,
            "seqno": block.seqno,
            "count": BLOCK_PAGE,
        }
        found: list[Raw] = []
        after: dict[str, Any] = {}
        while True:
            answer = await self._get("/getBlockTransactionsExt", **where, **after)
            page = [one["data"] for one in answer["transactions"]]
            found += page
            if not answer.get("incomplete") or not page:
                return found
            last = to_cell(page[-1]).begin_parse()
            last.skip_bits(4)
            after = {"after_hash": last.load_bytes(32).hex(), "after_lt": last.load_uint(64)}

    async def state(self, account: str) -> State:
        return await _state(self._client, account)

    async def run(self, address: str, method: str, stack: Sequence[Any]) -> list[Any]:
        return list(await self._client.run_get_method(address, method, list(stack)))

    async def _get(self, path: str, **params: Any) -> Any:
        return _result(await self._provider.send_http_request("GET", path, params=params))

    async def page(self, account: str, start: Position | None) -> Sequence[Raw]:
        where = {"lt": start.lt, "hash": start.hash.hex()} if start else {}
        found = await self._get("/getTransactions", address=account, limit=PAGE, archival="true", **where)
        if not isinstance(found, list):
            raise UnreadableTransactionError(msg("error-provider-no-list"))
        return [entry.get("data") if isinstance(entry, Mapping) else None for entry in found]


def _result(answer: object) -> Any:
    """`result` of an answer. Raises ProviderRefusedError where the provider says that it has none: it may do
    so with the status 200, and a proxy in front of it may answer with a page for browsers."""
    if not isinstance(answer, Mapping):
        raise ProviderRefusedError(msg("error-provider-no-json", said=repr(answer)[:REFUSAL]))
    if answer.get("ok") is False or answer.get("result") is None:
        raise ProviderRefusedError(msg("error-provider-refused", said=repr(answer.get("error"))[:REFUSAL]))
    return answer["result"]


class TonapiSource:
    """TonAPI: pages by logical time."""

    def __init__(self, client: TonapiClient, name: str) -> None:
        self._client = client
        self.name = name

    async def page(self, account: str, start: Position | None) -> Sequence[Raw]:
        return await _from_client(self._client, account, start)

    async def head(self) -> Head:
        answer = await self._client.provider.send_http_request("GET", "/blockchain/masterchain-head")
        return Head(int(answer["seqno"]), int(answer["gen_utime"]))

    async def block(self, seqno: int) -> Sequence[Raw]:
        path = f"/blockchain/masterchain/{seqno}/transactions"
        answer = await self._client.provider.send_http_request("GET", path)
        return [one["raw"] for one in answer["transactions"] if not _of_masterchain(one)]

    async def state(self, account: str) -> State:
        return await _state(self._client, account)

    async def run(self, address: str, method: str, stack: Sequence[Any]) -> list[Any]:
        return list(await self._client.run_get_method(address, method, list(stack)))


def _of_masterchain(transaction: Mapping[str, Any]) -> bool:
    """True if TonAPI says so. An account of the masterchain may have the same hash as a wallet of ours."""
    address = (transaction.get("account") or {}).get("address")
    return isinstance(address, str) and address.startswith("-1:")


class LiteSource:
    """Lite servers; connected at the first page: fetching their list and greeting them takes a while."""

    def __init__(self, network: NetworkGlobalID, name: str) -> None:
        self._network = network
        self._client: LiteBalancer | None = None
        self.name = name

    async def page(self, account: str, start: Position | None) -> Sequence[Raw]:
        return await _from_client(await self._connected(), account, start)

    async def head(self) -> Head:
        client = await self._connected()
        last = (await client.get_masterchain_info()).last_block()
        _, block = await client.lookup_block(WorkchainID.MASTERCHAIN, MASTER_SHARD, seqno=last.seqno)
        return Head(last.seqno, int(block.info.gen_utime))

    async def block(self, seqno: int) -> Sequence[Raw]:
        client = await self._connected()
        tops: list[list[Shard]] = []
        for number in (seqno - 1, seqno):
            master, _ = await client.lookup_block(WorkchainID.MASTERCHAIN, MASTER_SHARD, seqno=number)
            shards = await client.get_all_shards_info(master)
            tops.append([Shard(one.workchain, (one.shard or 0) % 2**64, one.seqno) for one in shards])
        found: list[Raw] = []
        for block in new_blocks(*tops):
            shard = block.shard - 2**64 if block.shard >= 2**63 else block.shard
            place, _ = await client.lookup_block(WorkchainID(block.workchain), shard, seqno=block.seqno)
            found += [one.cell for one in await client.get_block_transactions(place)]
        return found

    async def state(self, account: str) -> State:
        return await _state(await self._connected(), account)

    async def run(self, address: str, method: str, stack: Sequence[Any]) -> list[Any]:
        return list(await (await self._connected()).run_get_method(address, method, list(stack)))

    async def _connected(self) -> LiteBalancer:
        if self._client is None:
            client = await asyncio.to_thread(LiteBalancer.from_network_config, self._network)
            await client.connect()
            self._client = client
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


async def _from_client(client: Any, account: str, start: Position | None) -> list[Cell]:
    """A page by logical time from a client that takes cells apart by itself."""
    try:
        found = await client.get_transactions(account, limit=PAGE, from_lt=start.lt if start else None)
    except (TonutilsError, OSError):
        raise
    except Exception as error:  # whatever ton-core raises at nonsense, the answer is at fault
        raise UnreadableTransactionError(
            msg("error-provider-unreadable", error=type(error).__name__)
        ) from error
    return [transaction.cell for transaction in found]


async def _state(client: Any, account: str) -> State:
    """As tonutils gives it: a logical time without its hash is no position."""
    info = await client.get_info(account)
    if not info.last_transaction_lt or not info.last_transaction_hash:
        return State(None, int(info.balance))
    return State(
        Position(int(info.last_transaction_lt), bytes.fromhex(info.last_transaction_hash)), int(info.balance)
    )


def to_cell(data: Raw) -> Cell:
    """The cell of what a source gave. Raises UnreadableTransactionError."""
    if isinstance(data, Cell):
        return data
    if not isinstance(data, str):
        raise UnreadableTransactionError(msg("error-provider-no-data"))
    try:
        return Cell.one_from_boc(data.replace("-", "+").replace("_", "/"))  # base64 of either alphabet
    except Exception as error:  # whatever ton-core raises at nonsense, the bytes are at fault
        raise UnreadableTransactionError(
            msg("error-provider-not-cell", error=type(error).__name__)
        ) from error


def endpoint(option: ProviderOptions, *, testnet: bool) -> str:
    """What makes an entry the same provider as another: the host, and the port unless it is 80 or 443.

    Path, scheme, kind, API key and the spelling of the host do not count. All lite servers are one provider:
    each request goes to any one of the same public list. Two names of one machine cannot be recognised here.
    """
    if option.kind is ProviderKind.LITE:
        return "lite servers"
    url = option.url or _public_url(option.kind, testnet=testnet)
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = (parts.hostname or url).rstrip(".").lower()
    try:
        host = "localhost" if ip_address(host).is_loopback else str(ip_address(host))
    except ValueError:
        host = host.removeprefix("www.")
    return host if parts.port in (None, 80, 443) else f"{host}:{parts.port}"


def _public_url(kind: ProviderKind, *, testnet: bool) -> str:
    """The address that tonutils takes when none is given."""
    network = "testnet." if testnet else ""
    match kind:
        case ProviderKind.TONCENTER:
            return f"https://{network}toncenter.com"
        case ProviderKind.TONAPI:
            return f"https://{network}tonapi.io"
        case ProviderKind.LITE:
            return "lite"
        case _:
            assert_never(kind)


async def open_source(
    option: ProviderOptions, network: NetworkGlobalID
) -> tuple[Callable[[], Awaitable[None]], Source]:
    shared: dict[str, Any] = {
        "api_key": option.api_key,
        "base_url": option.url,
        "rps_limit": option.rps,
        "retry_policy": DEFAULT_HTTP_RETRY_POLICY,
    }
    name = option.kind.value if option.url is None else f"{option.kind} {option.url}"
    match option.kind:
        case ProviderKind.TONCENTER:
            session = open_session({"X-Api-Key": option.api_key} if option.api_key else {}, option.timeout)
            return session.close, ToncenterSource(ToncenterClient(network, session=session, **shared), name)
        case ProviderKind.TONAPI:
            headers = {"Authorization": f"Bearer {option.api_key}"} if option.api_key else {}
            session = open_session(headers, option.timeout)
            return session.close, TonapiSource(TonapiClient(network, session=session, **shared), name)
        case ProviderKind.LITE:
            lite = LiteSource(network, name)
            return lite.close, lite
        case _:
            assert_never(option.kind)
