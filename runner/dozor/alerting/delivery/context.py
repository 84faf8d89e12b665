"""What all delivery workers share: the database, the renderer, rate limits and callbacks for outcomes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from loguru import logger

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.rate_limit import RateLimiters
from dozor.alerting.delivery.transport import Rejected, Transport
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import Notification
from dozor.clock import Clock
from dozor.language import msg
from dozor.storage.postgres.pool import Pool
from dozor.storage.retry import until_available
from dozor.storage.tables.incidents import StormGroup

T = TypeVar("T")


class Renderer(Protocol):
    """Makes the texts of messages; never raises."""

    def notification(self, notification: Notification, incident: Incident | None = None) -> Message: ...
    def live(self, incident: Incident, storm: list[StormGroup], *, retold: bool = False) -> Message: ...


async def outcome_of(call: Awaitable[T]) -> T | Rejected:
    """Of a transport's call; an exception in it rejects this message, and does not stop the worker."""
    try:
        return await call
    except Exception as error:  # noqa: BLE001 -- the border around transports, recorded
        logger.opt(exception=error).critical(msg("log-transport-defect"))
        return Rejected(msg("log-own-defect", name=type(error).__name__), of_message=True)


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """For metrics: how a delivery ended. `latency` in seconds since the message was queued."""

    kind: str
    outcome: str
    latency: float


@dataclass(slots=True)
class DeliveryContext:
    """One for all delivery workers."""

    pool: Pool
    console: Transport
    renderer: Renderer
    clock: Clock
    rate_limiters: RateLimiters
    on_attempt: tuple[Callable[[DeliveryAttempt], None], ...]
    on_dead: Callable[[str, str | None], None]
    """A destination refuses us, and why; None: it takes messages again."""
    direct_sends: DirectSends
    """Messages sent from memory while the database was away."""
    journal_lagging: Callable[[], bool]
    """Whether the journal holds changes that the tables do not show yet."""
    alive: Callable[[], None]
    """Called at each attempt: the dispatcher makes progress."""

    async def until_available(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of the database; waits while it is away."""
        return await until_available(ask, self.alive)
