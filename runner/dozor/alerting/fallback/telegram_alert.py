"""`TelegramAlert`: messages about a `safe_background_task`, without database, configuration and aiogram.

The delivery rules that need no storage: 429 is waited out, a group that became a supergroup is followed,
refused formatting is left out, a closed topic is replaced by the chat, a call without an answer is repeated
and marked as a possible duplicate.
"""

from __future__ import annotations

import asyncio
import json
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import Any

from loguru import logger

from dozor.alerting.delivery.opener import opener_for
from dozor.alerting.model.safe_text import clean, one_line, shorten, utf16_length
from dozor.backoff import Backoff
from dozor.config.values.addresses import parse_api_url, parse_proxy, parse_token
from dozor.config.values.fields import parse_chat
from dozor.exceptions import text_of
from dozor.language import msg
from dozor.language.names import Language
from dozor.language.translator import Translator
from dozor.redaction import Redactor
from dozor.supervision.background import BackgroundAlert, CriticalStop, Recovery

CALL_SECONDS = 10.0
"""For one call of the Bot API."""
GIVE_UP_AFTER = 600.0
"""Seconds for which one message is tried."""
FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0
WAITING_AT_MOST = 100
"""Messages that wait; a further one is logged and dropped."""
TEXT_LENGTH = 4096
ERROR_LENGTH = 1500
IDLE_SECONDS = 5.0
"""After so long without a message the thread ends; the next message starts another."""


@dataclass(frozen=True, slots=True)
class _Letter:
    """`done` is called once, from the thread: it was delivered, or given up."""

    text: str
    head: int
    """UTF-16 units of the first line, which is bold."""
    done: Callable[[], None]
    formatted: bool = True
    topic: bool = True
    duplicate: bool = False


class TelegramAlert:
    """`safe_background_task(..., alerts=TelegramAlert(token, chat))`.

    `chat`: -1001234567890, or "-1001234567890:17" for a topic. Messages are sent one after the other from a
    thread of its own, so that neither a blocked loop nor an exhausted executor holds them up; each is tried
    for 10 minutes, longer than `safe_background_task` waits. What has not been sent when the process ends is
    lost.

    Raises ValueError for a token, a chat, an address or a language that cannot be one. The token is in no
    error and in no log line.
    """

    def __init__(
        self,
        token: str,
        chat: int | str,
        *,
        language: Language | str = Language.RU,
        api_url: str = "https://api.telegram.org",
        proxy: str | None = None,
    ) -> None:
        try:
            checked, target = parse_token(token), parse_chat(chat)
        except ValueError as error:
            raise ValueError(str(error).replace("{value}", repr(chat))) from None
        if checked is None or target is None:
            raise ValueError("TelegramAlert needs a token and a chat")
        self._chat, self._topic = target
        self._url = f"{parse_api_url(api_url)}/bot{checked}/sendMessage"
        self._opener = opener_for(parse_proxy(proxy))
        self._translator = Translator(Language(language))
        self._redactor = Redactor()
        self._redactor.register(checked)
        self._letters: queue.Queue[_Letter] = queue.Queue(WAITING_AT_MOST)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    async def __call__(self, alert: BackgroundAlert) -> None:
        """Give it to the thread, and wait for the end of the delivery, which a cancellation does not end."""
        loop = asyncio.get_running_loop()
        settled: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not settled.done():
                settled.set_result(None)

        def done() -> None:
            try:
                loop.call_soon_threadsafe(settle)
            except RuntimeError:
                pass  # the loop has been closed meanwhile: nobody waits

        head, rest = self._words(alert)
        text = shorten(clean(f"{head}\n{rest}" if rest else head), TEXT_LENGTH)
        with self._lock:
            try:
                self._letters.put_nowait(_Letter(text, utf16_length(head), done))
            except queue.Full:
                logger.error(msg("log-background-alert-full", name=alert.task))
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="dozor alerts", daemon=True)
                self._thread.start()
        await settled

    def _words(self, alert: BackgroundAlert) -> tuple[str, str]:
        say = self._translator.format
        name, count, limit = one_line(alert.task), alert.failures, alert.limit
        error = self._redactor.redact(f"{type(alert.error).__name__}: {text_of(alert.error)}")
        match alert:
            case Recovery():
                return say("background-recovered", name=name), ""
            case CriticalStop():
                return say("background-stopped", name=name, count=count), shorten(error, ERROR_LENGTH)
            case _:
                head = say("background-repeated", name=name, count=count, limit=limit)
                return head, shorten(error, ERROR_LENGTH)

    # -- the thread

    def _work(self) -> None:
        while True:
            try:
                letter = self._letters.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._letters.empty():
                        self._thread = None
                        return
                continue
            try:
                self._deliver(letter)
            except Exception as error:  # noqa: BLE001 -- the border of a thread: the next message must go out
                self._lost(f"{type(error).__name__}: {error}")
            finally:
                letter.done()

    def _deliver(self, letter: _Letter) -> None:
        deadline, backoff = time.monotonic() + GIVE_UP_AFTER, Backoff(FIRST_PAUSE, LAST_PAUSE)
        reason = ""
        while time.monotonic() < deadline:
            status, body = self._post(letter)
            reason = str(body.get("description") or f"HTTP {status}")
            parameters = body.get("parameters")
            hints: dict[str, Any] = parameters if isinstance(parameters, dict) else {}
            if status == 200 and body.get("ok") is True:
                return
            if isinstance(moved := hints.get("migrate_to_chat_id"), int):
                self._chat = moved
                logger.warning(msg("log-background-alert-moved", chat=str(moved)))
                continue
            if status == 429:
                wait = hints.get("retry_after")
                threading.Event().wait(
                    min(float(wait) if isinstance(wait, int) else backoff.upcoming, GIVE_UP_AFTER)
                )
                continue
            if status in (400, 401, 403, 404):
                simpler = _simpler(letter, status, reason)
                if simpler is None:
                    self._lost(reason)
                    return
                letter = simpler
                continue
            if status < 0:  # sent, and no answer came
                letter = replace(letter, duplicate=True)
            threading.Event().wait(backoff.next())
        self._lost(reason)

    def _post(self, letter: _Letter) -> tuple[int, dict[str, Any]]:
        """Status and answer. 0: it was certainly not sent; -1: it may have been carried out."""
        text, mark = letter.text, self._translator.format("background-duplicate")
        if letter.duplicate:
            text = f"{shorten(text, TEXT_LENGTH - len(mark) - 1)}\n{mark}"
        content: dict[str, Any] = {"chat_id": self._chat, "text": text}
        if letter.topic and self._topic is not None:
            content["message_thread_id"] = self._topic
        if letter.formatted:
            content["entities"] = [{"type": "bold", "offset": 0, "length": letter.head}]
        request = urllib.request.Request(  # noqa: S310 -- http(s), checked in __init__
            self._url, data=json.dumps(content).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=CALL_SECONDS) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, _read(refusal.read())
        except urllib.error.URLError as error:
            unsure = isinstance(error.reason, TimeoutError)
            return -1 if unsure else 0, {"description": self._redactor.redact(str(error.reason))}
        except (OSError, HTTPException, ValueError) as error:
            return -1, {"description": self._redactor.redact(f"{type(error).__name__}: {error}")}

    def _lost(self, reason: str) -> None:
        logger.error(msg("log-background-alert-lost", reason=self._redactor.redact(reason)))


_TOPIC = re.compile(r"message thread not found|topic_", re.IGNORECASE)


def _simpler(letter: _Letter, status: int, reason: str) -> _Letter | None:
    """The same message in a form that may be accepted; None: it is refused in every form."""
    if letter.topic and _TOPIC.search(reason):
        return replace(letter, topic=False)
    if letter.formatted and status == 400:
        return replace(letter, formatted=False)
    return None


def _read(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
