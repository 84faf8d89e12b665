"""`dozor telegram setup`: from a token to the ids of chat, topic and person, and to a test alert.

The token is never printed and never written. No aiogram: a few calls of the Bot API.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dozor.cli.doctoring.api import Answer, BotApi
from dozor.cli.telegram.seen import Seen, added_to, pressed, seen_in
from dozor.cli.terminal.options import config_option
from dozor.cli.terminal.session import run_async
from dozor.config.sections.config import TelegramConfig
from dozor.errors import CommandRefusedError, TelegramError
from dozor.language import msg

VARIABLE = "BOT_TOKEN"
POLL = 5
"""Seconds of one long poll; `BotApi` waits 10 s for a call."""
RECENT = 600.0
"""Seconds. A message that is older when the command starts is not the one that is waited for."""
PRESS_WITHIN = 60.0
"""Seconds within which the button of the test alert may be pressed."""
TRIES = 3
_ALLOWED = ["message", "my_chat_member", "callback_query"]


@click.command(help=msg("setup-help-telegram-setup"))
@config_option
@click.option("--write", is_flag=True, help=msg("setup-help-write"))
@click.option("--private", is_flag=True, help=msg("setup-help-private"))
@click.option(
    "--timeout",
    type=click.FloatRange(1.0),
    default=300.0,
    show_default=True,
    metavar=msg("cli-metavar-seconds"),
    help=msg("cli-help-timeout"),
)
@click.option("--api-url", metavar=msg("cli-metavar-url"), help=msg("setup-help-api-url"))
def setup(config_path: Path, *, write: bool, private: bool, timeout: float, api_url: str | None) -> None:
    """Find the chat's and your own id, write them into the configuration, send a test alert."""
    known = _configured(config_path, api_url)
    if write and not config_path.is_file():
        raise CommandRefusedError(msg("setup-telegram-no-file", file=config_path))
    run_async(_setup(known, config_path, write=write, private=private, timeout=timeout))


# -- what is known before


@dataclass(frozen=True, slots=True)
class Known:
    """The values of the configuration, as far as it can be read. `token` None: it is asked for."""

    values: dict[str, Any]
    """`api_url` and `proxy`, checked later."""
    token: str | None
    has_token_key: bool
    admins: tuple[int, ...]

    def config(self, token: str) -> TelegramConfig:
        """Raises ValueError for a token that cannot be one, and for an address that is none."""
        return TelegramConfig.model_validate({**self.values, "token": token})


def _configured(path: Path, api_url: str | None) -> Known:
    """A configuration with mistakes will do: a token without a chat is one of them."""
    from dozor.config.source.document import Unreadable, read_document
    from dozor.config.values import fields

    section: dict[str, Any] = {}
    if path.is_file():
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandRefusedError(msg("setup-cannot-read", path=path, reason=error)) from None
        found = read_document(text, path.absolute().parent, os.environ).values.get("telegram")
        section = found if isinstance(found, dict) else {}
    given = {key: value for key, value in section.items() if value and not isinstance(value, Unreadable)}
    values: dict[str, Any] = {key: given[key] for key in given if key in ("api_url", "proxy")}
    if api_url:
        values["api_url"] = api_url
    try:
        admins: Any = fields.parse_user_ids(given.get("admins"))
    except ValueError:
        admins = ()
    token = given.get("token") or os.environ.get(VARIABLE) or None
    return Known(values, None if token is None else str(token), "token" in section, tuple(map(int, admins)))


def _ask_token() -> str:
    """Without echo. Raises CommandRefusedError if nobody answers."""
    if sys.stdin.isatty():
        return str(click.prompt(msg("setup-telegram-token"), hide_input=True)).strip()
    line = sys.stdin.readline().strip()
    if not line:
        raise CommandRefusedError(msg("setup-telegram-no-token", variable=VARIABLE))
    return line


# -- the conversation


async def _setup(known: Known, path: Path, *, write: bool, private: bool, timeout: float) -> None:
    config, me = await _identify(known)
    name = str(me.result.get("username") or "")
    async with BotApi(config) as api:
        listener = _Listener(api, time.time() - (me.skew or 0.0))
        click.echo(msg("setup-telegram-bot", name=name))
        reads_all = bool(me.result.get("can_read_all_group_messages"))
        click.echo(msg("setup-telegram-write-any" if reads_all else "setup-telegram-write", name=name))
        seen = await _wait_for_chat(listener, name, private=private, timeout=timeout)
        nonce = f"setup:{secrets.token_hex(8)}"
        seen, message_id = await _send_test(api, seen, nonce)
        admins = list(dict.fromkeys([*known.admins, *([seen.user_id] if seen.user_id else [])]))
        _tell(seen, admins, path, write=write, has_token=known.has_token_key)
        await _wait_for_press(listener, seen, nonce, message_id)
        await listener.confirm()
    if known.token is None:
        click.echo(msg("setup-telegram-export", variable=VARIABLE))


async def _identify(known: Known) -> tuple[TelegramConfig, Answer]:
    """Ask Telegram who the token is; a mistyped one is asked for again. Raises TelegramError."""
    for attempt in range(TRIES):
        token = known.token if known.token is not None else _ask_token()
        again = known.token is None and sys.stdin.isatty() and attempt + 1 < TRIES
        try:
            config = known.config(token)
        except ValueError as error:
            from pydantic import ValidationError

            wrong = error.errors()[0]["loc"] if isinstance(error, ValidationError) else ()
            if "token" not in wrong:
                raise CommandRefusedError(
                    msg("setup-telegram-address", key=".".join(map(str, wrong)))
                ) from None
            reason = msg("config-token")
        else:
            async with BotApi(config) as api:
                me = await api.call("getMe")
            if me.ok:
                return config, me
            if me.status not in (401, 404):
                raise TelegramError(msg("doctor-telegram-away", reason=me.description))
            reason = msg("doctor-token-unknown", reason=me.description)
        if not again:
            raise TelegramError(f"{reason}; {msg('doctor-token-unknown-remedy')}")
        click.echo(reason, err=True)
    raise AssertionError("the last attempt returns or raises")


class _Listener:
    """Takes updates, one at a time. `began`: Telegram's time, seconds since the epoch."""

    def __init__(self, api: BotApi, began: float) -> None:
        self.api, self.began = api, began
        self._offset: int | None = None
        self._waiting: list[dict[str, Any]] = []
        self._said = False

    async def next(self, until: float) -> dict[str, Any] | None:
        """The next update; None at `until` (of `time.monotonic`). Raises TelegramError."""
        while not self._waiting:
            left = until - time.monotonic()
            if left <= 0:
                return None
            params: dict[str, Any] = {"timeout": int(min(POLL, left)), "allowed_updates": _ALLOWED}
            if self._offset is not None:
                params["offset"] = self._offset
            answer = await self.api.call("getUpdates", **params)
            if answer.ok:
                self._waiting = [one for one in answer.result or [] if isinstance(one, dict)]
                self._said = False
            else:
                self._explain(answer)
                await asyncio.sleep(min(1.0, max(0.0, left)))
        update = self._waiting.pop(0)
        self._offset = int(update["update_id"]) + 1
        return update

    async def confirm(self) -> None:
        """The runner must not take these updates for commands."""
        if self._offset is not None:
            await self.api.call("getUpdates", offset=self._offset, timeout=0, allowed_updates=_ALLOWED)

    def _explain(self, answer: Answer) -> None:
        if answer.status == 409:
            hook = "webhook" in answer.description.lower()
            raise TelegramError(msg("setup-telegram-webhook" if hook else "setup-telegram-busy"))
        if answer.status in (401, 404):
            raise TelegramError(msg("doctor-token-unknown", reason=answer.description))
        if not self._said:
            click.echo(msg("doctor-telegram-away", reason=answer.description), err=True)
            self._said = True


async def _wait_for_chat(listener: _Listener, bot: str, *, private: bool, timeout: float) -> Seen:
    until = time.monotonic() + timeout
    while True:
        update = await listener.next(until)
        if update is None:
            raise TelegramError(msg("setup-telegram-nothing", seconds=f"{timeout:.0f}", name=bot))
        if (group := added_to(update)) is not None:
            click.echo(msg("setup-telegram-added", title=group, name=bot))
        seen = seen_in(update)
        if seen is None or seen.date < listener.began - RECENT:
            continue
        if seen.private and not private:
            click.echo(msg("setup-telegram-private", user=seen.user_name, id=str(seen.user_id)))
            continue
        for line in _seen_lines(seen):
            click.echo(line)
        if not sys.stdin.isatty() or click.confirm(msg("setup-telegram-right"), default=True):
            return seen
        click.echo(msg("setup-telegram-go-on"))
        until = time.monotonic() + timeout


def _seen_lines(seen: Seen) -> list[str]:
    lines = [msg("setup-telegram-chat", title=seen.title, id=str(seen.chat_id))]
    if seen.thread_id is not None:
        lines.append(msg("setup-telegram-topic", id=str(seen.thread_id)))
    if seen.user_id is None:
        lines.append(msg("setup-telegram-anonymous"))
    else:
        lines.append(msg("setup-telegram-user", user=seen.user_name, id=str(seen.user_id)))
    return lines


async def _send_test(api: BotApi, seen: Seen, nonce: str) -> tuple[Seen, int]:
    """The place where it arrived (a group may have become a supergroup) and the message's id."""
    button = {"text": msg("setup-telegram-button"), "callback_data": nonce}
    for _ in range(TRIES):
        topic = {} if seen.thread_id is None else {"message_thread_id": seen.thread_id}
        answer = await api.call(
            "sendMessage",
            chat_id=seen.chat_id,
            text=msg("setup-telegram-test"),
            reply_markup={"inline_keyboard": [[button]]},
            **topic,
        )
        if answer.ok:
            return seen, int(answer.result["message_id"])
        if answer.migrated_to is None:
            break
        seen = seen.moved(answer.migrated_to)
    raise TelegramError(msg("setup-telegram-refused", reason=answer.description))


def _tell(seen: Seen, admins: list[int], path: Path, *, write: bool, has_token: bool) -> None:
    """Print the YAML, or put it into the file."""
    chat = str(seen.chat_id) if seen.thread_id is None else f'"{seen.chat_id}:{seen.thread_id}"'
    values = {"token": f"${{{VARIABLE}}}", "chat": chat, "admins": f"[{', '.join(map(str, admins))}]"}
    if write:
        if has_token:
            del values["token"]
        click.echo(_write(path, values))
        return
    click.echo(msg("setup-telegram-yaml", file=path))
    click.echo("\n".join(["telegram:", *(f"  {key}: {value}" for key, value in values.items())]))


def _write(path: Path, values: dict[str, str]) -> str:
    """What was done. Where it could not be done, the YAML and the reason are printed and it is refused."""
    from dozor.config.source.edit import NotEditableError, set_in_section, write_text

    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        write_text(path, mark + set_in_section(text.removeprefix("\ufeff"), "telegram", values))
    except (NotEditableError, OSError) as error:
        lines = "\n".join(["telegram:", *(f"  {key}: {value}" for key, value in values.items())])
        click.echo(lines)
        raise CommandRefusedError(msg("setup-telegram-not-written", file=path, reason=error)) from None
    return msg("setup-telegram-written", file=path)


async def _wait_for_press(listener: _Listener, seen: Seen, nonce: str, message_id: int) -> None:
    click.echo(msg("setup-telegram-press"))
    until = time.monotonic() + PRESS_WITHIN
    api = listener.api
    while True:
        update = await listener.next(until)
        if update is None:
            click.echo(msg("setup-telegram-unpressed"))
            return
        found = pressed(update, nonce)
        if found is None:
            continue
        callback_id, who = found
        await api.call("answerCallbackQuery", callback_query_id=callback_id, text=msg("setup-telegram-works"))
        await api.call(
            "editMessageText",
            chat_id=seen.chat_id,
            message_id=message_id,
            text=f"{msg('setup-telegram-test')}\n{msg('setup-telegram-pressed', user=who)}",
        )
        click.echo(msg("setup-telegram-pressed", user=who))
        return
