"""The fallback channel over Apprise (https://github.com/caronc/apprise): e-mail, ntfy, Slack and others.

Its calls block, so each URL has a thread, and at most one: a channel that hangs delays neither the others nor
the next message. The URLs are secrets: of each only what precedes :// is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Thread

from loguru import logger

from dozor.language import msg

TIMEOUT = 30.0
"""Seconds for one message. Apprise itself waits 4 for an answer (`?rto=` in the URL)."""


class AppriseChannels:
    """`urls`: known to Apprise, see `dozor.config.imports.channels`."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._channels = [_Channel(url) for url in urls]

    async def send(self, title: str, text: str) -> bool:
        """To all of them at once; whether at least one took it. Logs the result of each; raises nothing."""
        sending = {channel.start(title, text): channel for channel in self._channels if not channel.busy}
        for channel in self._channels:
            if channel not in sending.values():
                logger.warning(msg("log-channel-busy", name=channel.name))
        if not sending:
            return False
        done, late = await asyncio.wait(sending, timeout=TIMEOUT)
        for one in late:
            logger.warning(msg("log-channel-timeout", name=sending[one].name, seconds=f"{TIMEOUT:g}"))
        for one in done:
            if one.result():
                logger.info(msg("log-channel-took", name=sending[one].name))
            else:
                logger.warning(msg("log-channel-refused", name=sending[one].name))
        return any(one.result() for one in done)


class _Channel:
    def __init__(self, url: str) -> None:
        self._url = url
        self.name = url.partition("://")[0]
        self._answer: asyncio.Future[bool] | None = None

    @property
    def busy(self) -> bool:
        return self._answer is not None and not self._answer.done()

    def start(self, title: str, text: str) -> asyncio.Future[bool]:
        """In a daemon thread: one of an executor would be waited for at exit."""
        loop = asyncio.get_running_loop()
        answer = self._answer = loop.create_future()

        def settle(took: bool) -> None:
            if not answer.done():
                answer.set_result(took)

        def work() -> None:
            took = self._notify(title, text)
            try:
                loop.call_soon_threadsafe(settle, took)
            except RuntimeError:
                return  # the runner has ended meanwhile

        Thread(target=work, name=f"fallback channel {self.name}", daemon=True).start()
        return answer

    def _notify(self, title: str, text: str) -> bool:
        try:
            import apprise  # takes 0.4 s: only when needed, in a thread

            services = apprise.Apprise()
            services.add(self._url)
            took = False
            for service in services:
                if "overflow=" not in self._url:
                    # A text longer than the service takes is sent in parts.
                    service.overflow_mode = apprise.OverflowMode.SPLIT
                one = apprise.Apprise()
                one.add(service)
                # As text: e-mail would take it for HTML.
                took |= bool(one.notify(text, title=title, body_format=apprise.NotifyFormat.TEXT))
        except Exception as error:  # noqa: BLE001 -- the border of a thread, and of a hundred plug-ins
            logger.error(msg("log-channel-failed", name=self.name, error=type(error).__name__))
            return False
        return took
