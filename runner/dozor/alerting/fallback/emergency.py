"""Emergency messages about a blocked event loop: sent from a thread, with the standard library.

Only a SOCKS proxy needs other libraries.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from threading import Event, Lock

from loguru import logger

from dozor.alerting.delivery.opener import opener_for
from dozor.config.sections.config import TelegramConfig
from dozor.language import msg
from dozor.language.times import duration
from dozor.language.translator import Translator
from dozor.supervision.telemetry.observer import UNKNOWN_BLOCKER, Trouble

TIMEOUT = 5.0
"""Seconds for one attempt."""
ATTEMPTS = 3
PAUSE = 1.0
FRAMES_SHOWN = 8
PAUSE_BETWEEN = 30.0
"""Seconds between two messages; incidents report what happens meanwhile."""


class EmergencySender:
    """Without a token it writes to standard error. `translator`: used by this only, in a thread."""

    def __init__(
        self, telegram: TelegramConfig, translator: Translator, redact: Callable[[str], str]
    ) -> None:
        self._telegram = telegram
        self._translator = translator
        self._redact = redact
        self._opener = opener_for(None if telegram.proxy is None else telegram.proxy.get_secret_value())
        self._lock = Lock()
        self._sent_at = float("-inf")
        self.sent = 0
        """Messages that have left."""

    def send(self, trouble: Trouble) -> bool:
        """Send it now; in the caller's thread. Whether it has left. Raises nothing."""
        now = time.time()
        with self._lock:
            if now - self._sent_at < PAUSE_BETWEEN:
                return False
            self._sent_at = now
        try:
            text = self._redact(self._text(trouble))
            if self._telegram.token is not None and self._telegram.chat is not None and self._post(text):
                self.sent += 1
                return True
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        except Exception as error:  # noqa: BLE001 -- the border of a thread: no caller above it
            logger.error(msg("log-alarm-not-sent", name=type(error).__name__, error=self._redact(str(error))))
            return False
        return True

    def _text(self, trouble: Trouble) -> str:
        lasts = duration(self._translator, trouble.seconds or 0.0)
        if trouble.subject == UNKNOWN_BLOCKER:
            header = self._translator.format("alarm-blocked-loop-unknown", duration=lasts)
        else:
            header = self._translator.format("alarm-blocked-loop", subject=trouble.subject, duration=lasts)
        return "\n".join((header, *trouble.chain[-FRAMES_SHOWN:]))

    def _post(self, text: str) -> bool:
        telegram = self._telegram
        assert telegram.token is not None
        assert telegram.chat is not None
        body: dict[str, object] = {"chat_id": telegram.chat.chat_id, "text": text}
        if telegram.chat.thread_id is not None:
            body["message_thread_id"] = telegram.chat.thread_id
        request = urllib.request.Request(  # noqa: S310 -- http(s), checked with the configuration
            f"{telegram.api_url}/bot{telegram.token.get_secret_value()}/sendMessage",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        for attempt in range(ATTEMPTS):
            try:
                with self._opener.open(request, timeout=TIMEOUT):
                    return True
            except OSError as error:
                logger.error(
                    msg("log-alarm-failed", name=type(error).__name__, error=self._redact(str(error)))
                )
            if attempt + 1 < ATTEMPTS:
                Event().wait(PAUSE)
        return False
