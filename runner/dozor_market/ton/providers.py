"""TON API providers behind one port, tried in turn.

A page that cannot be had, cannot be read or does not fit the chain is that provider's failure, and the next
one is asked for the same page. When all have failed the run fails: no credit without a verified history.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias, assert_never

from ton_core import Cell, NetworkGlobalID
from tonutils.clients import LiteBalancer, TonapiClient, ToncenterClient
from tonutils.exceptions import TonutilsError
from tonutils.types import DEFAULT_HTTP_RETRY_POLICY

from dozor.errors import DozorError
from dozor.language import msg
from dozor_market.ton.history import BrokenHistoryError
from dozor_market.ton.transactions import Position, Receipt, UnreadableTransactionError

PAGE: Final = 100
"""Transactions asked for at once: the most Toncenter and TonAPI give."""


class ProvidersFailedError(DozorError):
    """No provider gave a page that can be trusted; the message says what each did."""


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
        """Raises ValueError for an address that would show a key in messages."""
        if self.url is not None and ("?" in self.url or "@" in self.url):
            raise ValueError(msg("error-provider-url"))


Raw: TypeAlias = Cell | str | None
"""A transaction as a source gives it: taken apart already, or a bag of cells, or missing."""


class Source(Protocol):
    """One provider. `name` never holds a key."""

    name: str

    async def page(self, account: str, start: Position | None) -> Sequence[Raw]:
        """At most PAGE transactions, newest first, from `start` (itself included) or from the newest."""


class ToncenterSource:
    """Toncenter's API v2: pages by logical time and hash; `data` is the transaction's cell."""

    def __init__(self, client: ToncenterClient, name: str) -> None:
        self._provider = client.provider
        self.name = name

    async def page(self, account: str, start: Position | None) -> Sequence[Raw]:
        answer = await self._provider.get_transactions(
            account,
            limit=PAGE,
            lt=start.lt if start else None,
            from_hash=start.hash.hex() if start else None,
        )
        if not isinstance(answer.result, list):
            raise UnreadableTransactionError(msg("error-provider-no-list"))
        return [getattr(entry, "data", None) for entry in answer.result]


class TonapiSource:
    """TonAPI: pages by logical time."""

    def __init__(self, client: TonapiClient, name: str) -> None:
        self._client = client
        self.name = name

    async def page(self, account: str, start: Position | None) -> Sequence[Raw]:
        return await _from_client(self._client, account, start)


class LiteSource:
    """Lite servers; connected at the first page: fetching their list and greeting them takes a while."""

    def __init__(self, network: NetworkGlobalID, name: str) -> None:
        self._network = network
        self._client: LiteBalancer | None = None
        self.name = name

    async def page(self, account: str, start: Position | None) -> Sequence[Raw]:
        if self._client is None:
            client = await asyncio.to_thread(LiteBalancer.from_network_config, self._network)
            await client.connect()
            self._client = client
        return await _from_client(self._client, account, start)

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


def to_cell(data: Raw) -> Cell:
    """The cell of what a source gave. Raises UnreadableTransactionError."""
    if isinstance(data, Cell):
        return data
    if not isinstance(data, str):
        raise UnreadableTransactionError(msg("error-provider-no-data"))
    try:
        return Cell.one_from_boc(data)
    except Exception as error:  # whatever ton-core raises at nonsense, the bytes are at fault
        raise UnreadableTransactionError(
            msg("error-provider-not-cell", error=type(error).__name__)
        ) from error


class Providers:
    """Sources in the order of preference; the one that worked last is asked first."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = list(sources)

    async def page(
        self, account: str, start: Position | None, read: Callable[[Sequence[Raw]], list[Receipt]]
    ) -> list[Receipt]:
        """The page from `start` as read and verified by `read`. Raises ProvidersFailedError."""
        failures: list[str] = []
        for source in list(self._sources):
            try:
                raw = await source.page(account, start)
                page = await asyncio.to_thread(read, raw)  # 20 ms of computing: not on the loop
            except (UnreadableTransactionError, BrokenHistoryError, TonutilsError, OSError) as error:
                failures.append(f"{source.name}: {_in_one_line(error)}")
            except (AttributeError, KeyError, TypeError, ValueError) as error:  # an answer of another shape
                failures.append(msg("error-provider-nonsense", name=source.name, error=type(error).__name__))
            else:
                if failures:
                    self._sources.remove(source)
                    self._sources.insert(0, source)
                return page
        raise ProvidersFailedError(msg("error-no-provider", failures="; ".join(failures)))


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split("Hint:")[0].split())[:300]


@asynccontextmanager
async def open_providers(options: Sequence[ProviderOptions], *, testnet: bool) -> AsyncIterator[Providers]:
    """Clients of tonutils for the length of a run."""
    network = NetworkGlobalID.TESTNET if testnet else NetworkGlobalID.MAINNET
    async with AsyncExitStack() as stack:
        sources: list[Source] = []
        for option in options:
            closed_by, source = await _open(option, network)
            stack.push_async_callback(closed_by)
            sources.append(source)
        yield Providers(sources)


async def _open(
    option: ProviderOptions, network: NetworkGlobalID
) -> tuple[Callable[[], Awaitable[None]], Source]:
    shared: dict[str, Any] = {
        "api_key": option.api_key,
        "base_url": option.url,
        "timeout": option.timeout,
        "rps_limit": option.rps,
        "retry_policy": DEFAULT_HTTP_RETRY_POLICY,
    }
    name = option.kind.value if option.url is None else f"{option.kind} {option.url}"
    match option.kind:
        case ProviderKind.TONCENTER:
            toncenter = ToncenterClient(network, **shared)
            await toncenter.connect()
            return toncenter.close, ToncenterSource(toncenter, name)
        case ProviderKind.TONAPI:
            tonapi = TonapiClient(network, **shared)
            await tonapi.connect()
            return tonapi.close, TonapiSource(tonapi, name)
        case ProviderKind.LITE:
            lite = LiteSource(network, name)
            return lite.close, lite
        case _:
            assert_never(option.kind)
