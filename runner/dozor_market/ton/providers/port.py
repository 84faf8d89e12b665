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
from typing import Any, Final, Generic, TypeAlias, TypeVar

from ton_core import NetworkGlobalID
from tonutils.exceptions import TonutilsError

from dozor.errors import DozorError
from dozor.language import msg
from dozor_market.ton.messages.texts import storable
from dozor_market.ton.messages.transactions import Position, UnreadableTransactionError
from dozor_market.ton.providers.history import BrokenHistoryError, ForkedHistoryError
from dozor_market.ton.providers.sources import (
    PAGE,
    Head,
    ProviderKind,
    ProviderOptions,
    Raw,
    Source,
    State,
    endpoint,
    open_source,
    to_cell,
)

__all__ = ["PAGE", "ProviderKind", "ProviderOptions", "Raw", "endpoint", "to_cell"]

T = TypeVar("T")
V = TypeVar("V")

HEAD_WITHIN: Final = 15.0
"""Seconds for the newest masterchain block of a provider."""
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
        self.broken = any(isinstance(failure.error, BrokenHistoryError) for failure in failures)
        """A provider answered with a history that does not fit; otherwise none answered."""


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
    account: str = ""
    """The account that was asked for; empty: none."""


@dataclass(slots=True)
class Provider:
    """The entries of one endpoint. `name` is that of the first."""

    name: str
    sources: list[Source]
    slow_failures: int = 0
    answers: int = 0
    """Usable answers of this run."""
    left_out: str = ""
    """Why it is not asked in this run; empty: it is."""


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

    @property
    def answering(self) -> set[str]:
        """Names of the providers that gave at least one usable answer in this run."""
        return {provider.name for provider in self._providers if provider.answers}

    def leave_out(self, name: str, reason: str) -> None:
        """Do not ask this provider in this run any more: it confirms nothing."""
        self._named(name).left_out = reason

    async def heads(self) -> dict[str, Head | Failure]:
        """The newest masterchain block of every provider, all asked at once. Kept out of `failures`: a
        provider that cannot say it may answer everything else."""
        found = await asyncio.gather(*(self._head(provider) for provider in self._providers))
        return dict(zip(self.names, found, strict=True))

    async def _head(self, provider: Provider) -> Head | Failure:
        failure = Failure(provider.name, msg("error-provider-not-asked"))
        for source in provider.sources:
            try:
                async with asyncio.timeout(HEAD_WITHIN):
                    return await source.head()
            except Exception as error:  # noqa: BLE001 - whatever an answer leads to is that provider's failure
                failure = Failure(provider.name, _reason(error), error)
        return failure

    async def block(self, name: str, seqno: int, read: Callable[[Sequence[Raw]], T]) -> Answer[T] | Failure:
        """What masterchain block `seqno` brought, as the provider `name` has it, read by `read`."""

        async def get(source: Source) -> Sequence[Raw]:
            return await source.block(seqno)

        return await self._get(self._named(name), "", get, read)

    async def states(self, account: str) -> list[Answer[State] | Failure]:
        """The balance and newest transaction of an account, from every provider at once."""

        async def get(source: Source) -> State:
            return await source.state(account)

        return await asyncio.gather(
            *(self._get(provider, account, get, _same, keep=False) for provider in self._providers)
        )

    async def run_each(
        self, address: str, method: str, stack: Sequence[Any], read: Callable[[list[Any]], T]
    ) -> list[Answer[T] | Failure]:
        """The result of a get-method, from every provider at once."""

        async def get(source: Source) -> list[Any]:
            return await source.run(address, method, stack)

        return await asyncio.gather(
            *(self._get(provider, address, get, read, keep=False) for provider in self._providers)
        )

    def _named(self, name: str) -> Provider:
        return next(provider for provider in self._providers if provider.name == name)

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
        return await self._ask(self._named(name), account, start, read)

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
        async def get(source: Source) -> Sequence[Raw]:
            return await source.page(account, start)

        return await self._get(provider, account, get, read)

    async def _get(
        self,
        provider: Provider,
        account: str,
        get: Callable[[Source], Awaitable[V]],
        read: Callable[[V], T],
        *,
        keep: bool = True,
    ) -> Answer[T] | Failure:
        """`keep`: a failure goes to `failures`."""
        if provider.left_out:
            return Failure(provider.name, provider.left_out)
        if provider.slow_failures >= SLOW_FAILURES:
            return Failure(provider.name, msg("error-provider-left-out", times=SLOW_FAILURES))
        failure = Failure(provider.name, msg("error-provider-not-asked"))
        for source in provider.sources:
            began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    raw = await get(source)
                # 20 ms of computing: not on the loop.
                answer = Answer(provider.name, await asyncio.to_thread(read, raw))
            except Exception as error:  # noqa: BLE001 - whatever an answer leads to is that provider's failure
                failure = Failure(provider.name, _reason(error), error, account)
                slow = asyncio.get_running_loop().time() - began > SLOW
                provider.slow_failures = provider.slow_failures + 1 if slow else 0
                if keep:
                    self.failures.append(failure)
            else:
                provider.slow_failures = 0
                provider.answers += 1
                return answer
        return failure


def _same(state: State) -> State:
    return state


def _reason(error: Exception) -> str:
    match error:
        case UnreadableTransactionError() | BrokenHistoryError() | TonutilsError():
            return _said(error)
        case TimeoutError() if not str(error):
            return msg("log-no-answer-within", seconds=f"{ANSWER_WITHIN:g}")
        case OSError():
            return _said(error)
        case _:  # an answer of another shape
            return msg("error-provider-nonsense", error=type(error).__name__)


def _said(error: Exception) -> str:
    return storable(str(error).split("Hint:")[0])


@asynccontextmanager
async def open_providers(options: Sequence[ProviderOptions], *, testnet: bool) -> AsyncIterator[Providers]:
    """Clients of tonutils for the length of a run."""
    network = NetworkGlobalID.TESTNET if testnet else NetworkGlobalID.MAINNET
    async with AsyncExitStack() as stack:
        providers: dict[str, Provider] = {}
        for option in options:
            closed_by, source = await open_source(option, network)
            stack.push_async_callback(closed_by)
            provider = providers.setdefault(endpoint(option, testnet=testnet), Provider(source.name, []))
            provider.sources.append(source)
        yield Providers(list(providers.values()))
