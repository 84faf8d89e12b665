"""Another way to people while Telegram does not answer, and one summary there when it does again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec

from loguru import logger

from runner.alerting.notification import Facts, NotificationKind, Severity
from runner.alerting.outbox import from_claimed
from runner.alerting.patience import rounds
from runner.alerting.shared import Words
from runner.alerting.watch import Watch
from runner.clock import Clock
from runner.errors import ConfigError
from runner.language.times import duration
from runner.language.translator import Translator
from runner.storage import notifications
from runner.storage.pool import Pool

LOOK_EVERY = 5.0
NAME = "second channel"
"""As `dozor.notifications.transport` calls it."""
TEXT_LENGTH = 4000

Send = Callable[[str, str], Awaitable[bool]]
"""Title and text; whether somebody took it."""


class SecondChannel:
    """`after`: seconds for which messages may stay unsent before this is used."""

    def __init__(
        self,
        pool: Pool,
        watch: Watch,
        send: Send,
        words: Words,
        translator: Translator,
        clock: Clock,
        after: float,
    ) -> None:
        self._pool = pool
        self._watch = watch
        self._send = send
        self._words = words
        self._translator = translator
        self._clock = clock
        self._after = after

    async def run(self) -> None:
        """Look for ever."""
        await rounds(self.look, LOOK_EVERY)

    async def look(self) -> None:
        """Send what has waited too long, all of it in one message; it then counts as delivered."""
        now = self._clock.now()
        owed = await notifications.owed_since(self._pool)
        since, _ = owed.get("", (now, 0))
        if now - since < self._after:
            return
        waiting = [
            claimed
            for claimed in await notifications.read_unshown(self._pool, "", 0)
            if claimed.row.kind != NotificationKind.SUMMARY.value
        ]
        if not waiting:
            return
        label = self._translator.format(
            "alert-second-channel", duration=duration(self._translator, now - since)
        )
        texts = [self._words.note(from_claimed(claimed)).plain for claimed in waiting]
        text = "\n\n".join(texts)
        if not await self._send(label, text[:TEXT_LENGTH]):
            logger.warning("The second channel does not answer either")
            return
        for claimed in waiting:
            await notifications.mark_delivered(self._pool, claimed.id, NAME, None, now)
        lines = tuple(text.partition("\n")[0] for text in texts)
        self._watch.owe(
            self._watch.teller.plain(
                NotificationKind.SUMMARY,
                Severity.INFO,
                Facts(lines=lines, count=len(lines)),
                now,
                to=("",),
            )
        )


def apprise_sender(urls: Sequence[str]) -> Send:
    """Through Apprise (https://github.com/caronc/apprise). Raises ConfigError if it is not installed."""
    if find_spec("apprise") is None:
        raise ConfigError(
            ["alerts.second_channel needs Apprise: pip install 'dozor[channels]', or remove the section"]
        )

    async def send(title: str, text: str) -> bool:
        return await asyncio.to_thread(_send, tuple(urls), title, text)

    return send


def _send(urls: Sequence[str], title: str, text: str) -> bool:
    import apprise  # seconds to import: only when it is needed, in a thread

    channels = apprise.Apprise()
    for url in urls:
        if not channels.add(url):
            logger.error("alerts.second_channel: Apprise does not know one of the URLs")
    return bool(channels.notify(title=title, body=text))
