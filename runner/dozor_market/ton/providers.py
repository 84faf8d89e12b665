"""TON API providers behind one port.

Entries of the configuration that lead to the same endpoint are one provider: they stand in for each other and
never confirm each other. `ask_each` asks every provider the same thing, for the comparison of their answers.
`page` takes a page from whichever provider gives it; that is safe only below a transaction that is confirmed,
because the hash chain then verifies the page whoever returns it.

Whatever a provider does is either an answer or a `Failure`; failures are kept in `failures` for the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, assert_never
from urllib.parse import urlsplit

from ton_core import Cell, NetworkGlobalID
from tonutils.clients import LiteBalancer, TonapiClient, ToncenterClient
from tonutils.exceptions import TonutilsError
from tonutils.types import DEFAULT_HTTP_RETRY_POLICY

from dozor.errors import DozorError
from dozor.language import msg
from dozor_market.ton.history import BrokenHistoryError, ForkedHistoryError
from dozor_market.ton.transactions import Position, UnreadableTransactionError

T = TypeVar("T")

PAGE: Final = 100
"""Transactions asked for at once: the most Toncenter and TonAPI give."""
ANSWER_WITHIN: Final = 60.0
"""Seconds for one answer, repetitions included. tonutils gives up after 30 s; connecting may hang."""
SLOW: Final = 5.0
"""Seconds after which a failed answer counts as slow."""
SLOW_FAILURES: Final = 2
"""Slow failures in a row after which a provider is left out for the rest of the run, so that one that does
not answer delays a run over many wallets once and not once per wallet."""


class ProvidersFailedError(DozorError):
    """No provider gave a page that can be trusted; the message says what each did.

    `forks`: by provider, the valid histories that exclude the cursor.
    """

    def __init__(self, failures: Sequence[Failure]) -> None:
        said = "; ".join(f"{failure.provider}: {failure.reason}" for failure in failures)
        super().__init__(msg("error-no-provider", failures=said))
        self.forks = {
            failure.provider: failure.error
            for failure in failures
            if isinstance(failure.error, ForkedHistoryError)
        }


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


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one provider returned, read and verified by itself."""

    provider: str
    value: T


@dataclass(frozen=True, slots=True)
class Failure:
    """One provider gave nothing that can be used."""

    provider: str
    reason: str
    error: Exception | None = None


@dataclass(slots=True)
class Provider:
    """The entries of one endpoint. `name` is that of the first."""

    name: str
    sources: list[Source]
    slow_failures: int = 0


Read: TypeAlias = Callable[[Sequence[Raw]], T]
"""Reads and verifies an answer. What it raises makes the answer the provider's failure."""


class Providers:
    """The providers of one run, in the order of the configuration."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = list(providers)
        self._order = list(providers)
        self.failures: list[Failure] = []
        """Every failure of the run so far."""

    @property
    def names(self) -> list[str]:
        """Names of the providers, each endpoint once."""
        return [provider.name for provider in self._providers]

    async def ask_each(
        self, account: str, start: Position | None, read: Read[T]
    ) -> list[Answer[T] | Failure]:
        """The page from `start`, or the newest, of every provider, all asked at once."""
        return await asyncio.gather(
            *(self._ask(provider, account, start, read) for provider in self._providers)
        )

    async def ask(
        self, name: str, account: str, start: Position | None, read: Read[T]
    ) -> Answer[T] | Failure:
        """The page of the provider `name`, one of `names`."""
        provider = next(provider for provider in self._providers if provider.name == name)
        return await self._ask(provider, account, start, read)

    async def page(self, account: str, start: Position | None, read: Read[T]) -> T:
        """The page from `start` of the first provider that has it; the one that worked last is asked first.

        Raises ProvidersFailedError.
        """
        failures: list[Failure] = []
        for provider in list(self._order):
            answer = await self._ask(provider, account, start, read)
            if isinstance(answer, Answer):
                if failures:
                    self._order.remove(provider)
                    self._order.insert(0, provider)
                return answer.value
            failures.append(answer)
        raise ProvidersFailedError(failures)

    async def _ask(
        self, provider: Provider, account: str, start: Position | None, read: Read[T]
    ) -> Answer[T] | Failure:
        if provider.slow_failures >= SLOW_FAILURES:
            return Failure(provider.name, msg("error-provider-left-out", times=SLOW_FAILURES))
        failure = Failure(provider.name, msg("error-provider-not-asked"))
        for source in provider.sources:
            began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    raw = await source.page(account, start)
                # 20 ms of computing: not on the loop.
                answer = Answer(provider.name, await asyncio.to_thread(read, raw))
            except Exception as error:  # noqa: BLE001 - whatever an answer leads to is that provider's failure
                failure = Failure(provider.name, _reason(error), error)
                slow = asyncio.get_running_loop().time() - began > SLOW
                provider.slow_failures = provider.slow_failures + 1 if slow else 0
                self.failures.append(failure)
            else:
                provider.slow_failures = 0
                return answer
        return failure


def _reason(error: Exception) -> str:
    match error:
        case UnreadableTransactionError() | BrokenHistoryError() | TonutilsError():
            return _in_one_line(error)
        case TimeoutError() if not str(error):
            return msg("log-no-answer-within", seconds=f"{ANSWER_WITHIN:g}")
        case OSError():
            return _in_one_line(error)
        case _:  # an answer of another shape
            return msg("error-provider-nonsense", error=type(error).__name__)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split("Hint:")[0].split())[:300]


@asynccontextmanager
async def open_providers(options: Sequence[ProviderOptions], *, testnet: bool) -> AsyncIterator[Providers]:
    """Clients of tonutils for the length of a run."""
    network = NetworkGlobalID.TESTNET if testnet else NetworkGlobalID.MAINNET
    async with AsyncExitStack() as stack:
        providers: dict[str, Provider] = {}
        for option in options:
            closed_by, source = await _open(option, network)
            stack.push_async_callback(closed_by)
            provider = providers.setdefault(endpoint(option, testnet=testnet), Provider(source.name, []))
            provider.sources.append(source)
        yield Providers(list(providers.values()))


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
