"""A test notification: through the runner if one is at work, else straight to Telegram."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid

from dozor.alerting.delivery.console import ConsoleTransport
from dozor.alerting.model.codec import to_row
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.rendering.render import render
from dozor.cli.doctoring.api import BotApi
from dozor.cli.doctoring.finding import Finding, failed, ok
from dozor.config import Config
from dozor.config.values.incident_kinds import Severity
from dozor.language import msg
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import notifications

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.1

OUTCOME_SQL = """
SELECT state, transport, last_error FROM dozor.notifications WHERE key = $1
"""


async def send_through_runner(pool: Pool, *, within: float = WAIT_SECONDS) -> Finding:
    """Queue a message and wait until it is sent, as every alert is. `within` in seconds."""
    notification = _notification()
    async with pool.acquire() as connection:
        await notifications.enqueue(connection, [to_row(notification)])
    deadline = time.monotonic() + within
    began = time.monotonic()
    while True:
        row = await pool.fetchrow(OUTCOME_SQL, notification.key)
        assert row is not None
        took = time.monotonic() - began
        match row["state"]:
            case "delivered":
                return ok("test", msg("doctor-delivered", transport=row["transport"], seconds=f"{took:.1f}"))
            case "undeliverable":
                return failed(
                    "test", msg("doctor-refused", reason=row["last_error"]), msg("doctor-refused-remedy")
                )
            case _ if time.monotonic() > deadline:
                why = row["last_error"] or msg("doctor-no-attempt")
                return failed(
                    "test",
                    msg("doctor-not-delivered", seconds=f"{within:.0f}", reason=why),
                    msg("doctor-away"),
                )
        await asyncio.sleep(POLL_SECONDS)


async def send_directly(config: Config) -> Finding:
    """Without a runner: only the answer of Telegram is tested."""
    message = render(_notification(), Translator(config.language), config.timezone, time.time())
    target = config.telegram.chat
    if config.telegram.token is None or target is None:
        await ConsoleTransport().send(message)
        return ok("test", msg("doctor-on-console"))
    topic = {} if target.thread_id is None else {"message_thread_id": target.thread_id}
    async with BotApi(config.telegram) as api:
        answer = await api.call("sendMessage", chat_id=target.chat_id, text=message.plain, **topic)
    if answer.ok:
        return ok("test", msg("doctor-sent-directly"))
    return failed("test", msg("doctor-telegram-refuses", reason=answer.description), msg("doctor-see-above"))


def _notification() -> Notification:
    return Notification(
        key=f"doctor-{uuid.uuid4()}",
        kind=NotificationKind.TEST,
        severity=Severity.INFO,
        created_at=time.time(),
        facts=AlertData(text=f"dozor doctor --send, {socket.gethostname()}"),
    )
