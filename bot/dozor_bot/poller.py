"""Polls for updates in a supervised loop; each update is handled exactly once, across restarts too.

The offset is confirmed by the next `getUpdates`, after the update's id is stored together with what it
does. Killed before the commit, the update comes again; killed after it, its id is found and it is skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    TelegramConflictError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import DeleteWebhook, GetMe, SetWebhook
from aiogram.methods.base import TelegramMethod
from loguru import logger

from dozor.backoff import Backoff
from dozor.clock import Clock
from dozor.errors import PollerConflictError, TelegramError, TokenRefusedError
from dozor.language import msg
from dozor.storage.postgres.pool import Pool, unavailable
from dozor_bot.responses import Response
from dozor_bot.router import Router
from dozor_bot.telegram.answers import Effort
from dozor_bot.telegram.errors import description, unauthorized
from dozor_bot.telegram.incoming import UnreadableUpdateError, addressee_of
from dozor_bot.telegram.methods import GetUpdates, GetWebhookInfo
from dozor_bot.telegram.pending_answers import PendingAnswer, PendingAnswers
from dozor_bot.telegram.webhook import Inbox, secret_of, trouble_of

POLL_TIMEOUT = 50
"""Seconds of one long poll."""
CALL_TIMEOUT = 15
"""Seconds for a call that does not wait, and for the network on top of a long poll."""
ALLOWED = ["message", "edited_message", "channel_post", "callback_query", "my_chat_member"]
PRUNE_EVERY = 3600.0
CHECK_WEBHOOK_EVERY = 45.0
"""Seconds without an update after which Telegram is asked whether the webhook works."""
HOLD_OFF = 30.0
"""Seconds before a refused token, or a conflict, is tried again."""
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0
AT_ONCE = 32
"""Answers in progress."""
NAME_AGAIN = 60.0
"""Seconds after which another bot's name in a command makes us ask for our own again."""
NAME_TIMEOUT = 5
GRACE = 2.0
"""Seconds for answers in progress when the poller stops."""

TAKE_SQL = """
INSERT INTO dozor.telegram_updates (update_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING update_id
"""
# Telegram keeps an update for 24 hours, and chooses ids anew after a week without updates.
PRUNE_SQL = "DELETE FROM dozor.telegram_updates WHERE taken_at < now() - interval '2 days'"


class Poller:
    """`run` ends only by cancellation or by an error that needs a person (TelegramError).

    What passes by itself (network, 5xx, 429, the database away) is retried inside, with growing pauses.
    `grace`: seconds for answers in progress when the poller stops.
    """

    def __init__(
        self,
        bot: Bot,
        pool: Pool,
        router: Router,
        clock: Clock,
        *,
        poll_timeout: int = POLL_TIMEOUT,
        hold_off: float = HOLD_OFF,
        webhook: str | None = None,
        owed: PendingAnswers | None = None,
        grace: float = GRACE,
    ) -> None:
        self._grace = grace
        self._owed = PendingAnswers(pool) if owed is None else owed
        self._webhook = webhook
        self.inbox = None if webhook is None else Inbox(secret_of(bot.token))
        """Where the web server puts what Telegram brings; None: updates are polled for."""
        self._bot, self._pool, self._router, self._clock = bot, pool, router, clock
        self._poll_timeout, self._hold_off = poll_timeout, hold_off
        self.last_success: float | None = None
        """When `getUpdates` last answered, seconds since the epoch; at most `POLL_TIMEOUT` behind if well."""
        self.problem: str | None = None
        """What is wrong now, for people."""
        self.on_defect: Callable[[BaseException], None] = lambda error: None
        """Called for what could not be handled: a defect of Dozor."""
        self._offset: int | None = None
        self._refused_at: float | None = None
        self._pruned_at = float("-inf")
        self._named_at = float("-inf")
        self._told: set[int] = set()
        self._answers: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(AT_ONCE)

    @property
    def answering(self) -> int:
        """Answers in progress."""
        return len(self._answers)

    async def run(self) -> None:
        """Raises TokenRefusedError and PollerConflictError; started again, it first holds off."""
        if self._refused_at is not None:
            await asyncio.sleep(max(0.0, self._refused_at + self._hold_off - self._clock.now()))
        try:
            await self._identify()
            await self._resume()
            if self.inbox is not None:
                await self._receive(self.inbox)
            while True:
                updates = await self._get_updates()
                if updates:
                    await self._handle(updates)
        except TelegramError as error:
            self._refused_at, self.problem = self._clock.now(), str(error)
            raise
        finally:
            await self._stop_answers()

    async def _identify(self) -> None:
        """Who are we; and no webhook in the way of polling, or the one that brings us updates."""
        me = await self._call_until_ok(GetMe(), CALL_TIMEOUT)
        self._router.username = me.username or ""
        if self._webhook is None or self.inbox is None:
            await self._call_until_ok(DeleteWebhook(), CALL_TIMEOUT)
            logger.info(msg("log-polling", name=self._router.username))
            return
        await self._call_until_ok(
            SetWebhook(url=self._webhook, secret_token=self.inbox.secret, allowed_updates=ALLOWED),
            CALL_TIMEOUT,
        )
        self.last_success = self._clock.now()
        logger.info(msg("log-webhook", name=self._router.username, webhook=self._webhook))

    async def _receive(self, inbox: Inbox) -> None:
        """Run without end. Telegram is asked periodically whether it can deliver its updates."""
        while True:
            brought = await inbox.take(CHECK_WEBHOOK_EVERY)
            if brought:
                await self._handle([one.raw for one in brought])
                for one in brought:
                    if not one.stored.done():
                        one.stored.set_result(None)
                self.last_success = self._clock.now()
                continue
            info = await self._call_until_ok(GetWebhookInfo(), CALL_TIMEOUT)
            self.problem = trouble_of(info, self._webhook or "", self._clock.now())
            if self.problem is None:
                self.last_success = self._clock.now()

    async def _get_updates(self) -> list[dict[str, Any]]:
        # The first poll asks without waiting: the runner is ready as soon as it is answered.
        wait = 0 if self.last_success is None else self._poll_timeout
        request = GetUpdates(offset=self._offset, timeout=wait, allowed_updates=ALLOWED)
        updates: list[dict[str, Any]] = await self._call_until_ok(request, self._poll_timeout + CALL_TIMEOUT)
        self.last_success = self._clock.now()
        return updates

    async def _call_until_ok(self, method: TelegramMethod[Any], timeout: int) -> Any:
        """The result, however long it takes. Raises TelegramError."""
        backoff = Backoff(FIRST_BACKOFF, LAST_BACKOFF)
        while True:
            try:
                result = await self._bot(method, request_timeout=timeout)
            except (TelegramUnauthorizedError, TelegramNotFound) as error:
                raise TokenRefusedError(f"{unauthorized()} ({description(error)})") from None
            except TelegramConflictError as error:
                raise PollerConflictError(_conflict(description(error))) from None
            except AiogramError as error:
                wait = backoff.next()
                if isinstance(error, TelegramRetryAfter):
                    wait = max(wait, error.retry_after)
                said = description(error)
                if self.problem is None:
                    logger.warning(
                        msg("log-telegram-silent-method", method=method.__api_method__, reason=said)
                    )
                self.problem = msg("log-telegram-silent", reason=said)
                if isinstance(method, GetUpdates):
                    method = method.model_copy(update={"timeout": 0})  # learn at once that it is back
                await asyncio.sleep(wait)
            else:
                if self.problem is not None:
                    logger.info(msg("log-telegram-again"))
                    self.problem = None
                return result

    async def _handle(self, updates: list[dict[str, Any]]) -> None:
        """All of a batch, in order; while the database is away, again and again."""
        backoff, left = Backoff(FIRST_BACKOFF, LAST_BACKOFF), updates
        while left:
            try:
                for raw, work in zip(left, await self._prepare_all(left), strict=True):
                    await self._take(raw, work)
                    self._offset = raw["update_id"] + 1
                    left = left[1:]
                await self._prune()
            except Exception as error:
                if not unavailable(error):
                    raise
                if backoff.upcoming == FIRST_BACKOFF:
                    logger.warning(msg("log-updates-wait", error=type(error).__name__))
                self.problem = msg("log-commands-wait", error=type(error).__name__)
                await self._notify_delayed(left)
                await asyncio.sleep(backoff.next())
        self._told.clear()

    async def _prepare_all(self, raws: list[dict[str, Any]]) -> list[Response | None]:
        """Raises only for a database that is away."""
        prepared = await asyncio.gather(*map(self._prepare, raws), return_exceptions=True)
        works: list[Response | None] = []
        for work in prepared:
            if isinstance(work, BaseException):
                raise work
            works.append(work)
        return works

    async def _prepare(self, raw: dict[str, Any]) -> Response | None:
        """None also for an update that cannot be read: it must not hold up those behind it."""
        try:
            await self._learn_name(raw)
            return await self._router.prepare(raw)
        except UnreadableUpdateError as error:
            logger.error(msg("log-update-unreadable", number=raw["update_id"], reason=error))
            return None
        except Exception as error:
            if unavailable(error):
                raise
            logger.opt(exception=error).error(msg("log-update-failed", number=raw["update_id"]))
            self.on_defect(error)
            return self._router.apology(raw, "handler-failed")

    async def _learn_name(self, raw: dict[str, Any]) -> None:
        """A command for another bot: perhaps this one has got a new name, which is not told to it."""
        addressee, now = addressee_of(raw), self._clock.now()
        if addressee is None or addressee.casefold() == self._router.username.casefold():
            return
        if now - self._named_at < NAME_AGAIN:
            return
        self._named_at = now
        try:
            me = await self._bot(GetMe(), request_timeout=NAME_TIMEOUT)
        except AiogramError as error:
            logger.debug(msg("log-no-bot-name", reason=description(error)))
        else:
            self._router.username = me.username or self._router.username

    async def _resume(self) -> None:
        """Send the answers that an earlier process has left; without the database, at the next start."""
        try:
            for left in await self._owed.read():
                work = await self._resumed(left)
                if work is not None:
                    await self._spawn(left.update_id, work)
        except Exception as error:
            if not unavailable(error):
                raise
            logger.warning(msg("log-updates-wait", error=type(error).__name__))

    async def _resumed(self, left: PendingAnswer) -> Response | None:
        """None: it is answered no more, and its row is gone."""
        try:
            work = await self._router.resume(left)
            if work is not None and left.state is None and work.owed_for is Effort.ACTION:
                # It asked something before and would act now: not after a question that may have been read.
                work = None if left.attempted else await self._resubmitted(left, work)
        except Exception as error:
            if unavailable(error):
                raise
            logger.opt(exception=error).error(msg("log-update-failed", number=left.update_id))
            work = self._router.apology(left.source, "handler-failed")
        if work is None:
            await self._owed.answered(left.update_id)
        return work

    async def _resubmitted(self, left: PendingAnswer, work: Response) -> Response:
        async with self._pool.acquire() as connection, connection.transaction():
            await work.write(connection)
            await self._owed.keep(connection, left.update_id, left.source, work.state(), work.owed_for.value)
        return work

    async def _take(self, raw: dict[str, Any], work: Response | None) -> None:
        """The update's id and its writes, in one transaction; then its answers, in the background."""
        update_id: int = raw["update_id"]
        if work is None:
            return
        try:
            fresh = await self._store(raw, work)
        except Exception as error:
            if unavailable(error):
                raise
            logger.opt(exception=error).error(msg("log-update-failed", number=update_id))
            self.on_defect(error)
            work = self._router.apology_to(work.recipient(), "handler-failed")
            # Its source is not stored again: what cannot be stored would come back for ever.
            fresh = await self._store(raw, work, owed=False)
        if fresh:
            await self._spawn(update_id, work)

    async def _store(self, raw: dict[str, Any], work: Response, *, owed: bool = True) -> bool:
        update_id = raw["update_id"]
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(TAKE_SQL, update_id) is None:
                return False
            await work.write(connection)
            if owed and work.recipient() is not None:
                await self._owed.keep(connection, update_id, raw, work.state(), work.owed_for.value)
            return True

    async def _notify_delayed(self, raws: list[dict[str, Any]]) -> None:
        """Once each: their answers will be late."""
        for raw in raws:
            if raw["update_id"] not in self._told:
                self._told.add(raw["update_id"])
                await self._spawn(raw["update_id"], self._router.apology(raw, "database-away-waiting"))

    async def _spawn(self, update_id: int, work: Response) -> None:
        """Waits while too many answers are in progress."""
        await self._free.acquire()
        task = asyncio.create_task(self._finish(update_id, work), name=f"telegram update {update_id}")
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _finish(self, update_id: int, work: Response) -> None:
        try:
            await work.send()
        except Exception as error:  # noqa: BLE001 -- the supervision border: logged, and answered
            key = "database-away" if unavailable(error) else "handler-failed"
            logger.opt(exception=error).error(msg("log-update-unanswered", number=update_id))
            if not unavailable(error):
                self.on_defect(error)
            await self._router.apology_to(work.recipient(), key).send()
            await self._owed.answered(update_id)
        else:
            await self._owed.answered(update_id)
        finally:
            self._free.release()

    async def _stop_answers(self) -> None:
        if self._answers:
            await asyncio.wait(self._answers, timeout=self._grace)
        for task in self._answers:
            task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)

    async def _prune(self) -> None:
        if self._clock.now() - self._pruned_at >= PRUNE_EVERY:
            await self._pool.execute(PRUNE_SQL)
            self._pruned_at = self._clock.now()


def _conflict(said: str) -> str:
    who = msg("error-webhook-set") if "webhook" in said.lower() else msg("error-other-poller")
    remedy = msg("error-poller-remedy")
    return msg("error-no-updates", who=who, remedy=remedy)
