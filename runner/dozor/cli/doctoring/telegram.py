"""Telegram: the token, the chat, what the bot may do there, and who may command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dozor.alerting.policy.oncall import Person
from dozor.alerting.policy.routes import parse_destination
from dozor.cli.doctoring.api import Answer, BotApi
from dozor.cli.doctoring.finding import Finding, failed, ok, warning
from dozor.config.sections.config import ChatTarget, TelegramConfig
from dozor.language import msg

SKEW_SECONDS = 5.0
PEOPLE_ASKED = 20
"""Persons whose membership is looked up, at most."""

_GONE = ("left", "kicked")
_WORDS: Mapping[tuple[str, object], str] = {
    ("kind", "private"): "doctor-kind-private",
    ("kind", "group"): "doctor-kind-group",
    ("kind", "supergroup"): "doctor-kind-supergroup",
    ("kind", "channel"): "doctor-kind-channel",
    ("status", "creator"): "doctor-status-creator",
    ("status", "administrator"): "doctor-status-administrator",
    ("status", "member"): "doctor-status-member",
    ("status", "restricted"): "doctor-status-restricted",
    ("status", "left"): "doctor-status-left",
    ("status", "kicked"): "doctor-status-kicked",
}
"""https://core.telegram.org/bots/api#chatfullinfo, https://core.telegram.org/bots/api#chatmember"""


async def check_telegram(config: TelegramConfig, people: Iterable[Person] = ()) -> list[Finding]:
    """Everything that can be asked without sending a message. `people`: who can be on call."""
    if config.token is None:
        return [
            warning(
                "token",
                msg("doctor-token-empty"),
                msg("doctor-token-empty-remedy"),
            )
        ]
    async with BotApi(config) as api:
        me = await api.call("getMe")
        if not me.ok:
            return [_token_refused(me)]
        found = [ok("token", f"@{me.result.get('username')}, id {me.result['id']}"), _clock(me)]
        if config.commands:
            found.append(_privacy(me.result))
            found.append(_webhook(await api.call("getWebhookInfo")))
        if config.chat is not None:
            found += await _chat(api, config.chat, int(me.result["id"]))
        found += await _people(api, config)
        found += await _oncall(api, people)
    return found


def _token_refused(me: Answer) -> Finding:
    if me.status in (401, 404):
        return failed(
            "token",
            msg("doctor-token-unknown", reason=me.description),
            msg("doctor-token-unknown-remedy"),
        )
    return failed(
        "token",
        msg("doctor-telegram-away", reason=me.description),
        msg("doctor-telegram-away-remedy"),
    )


def _clock(me: Answer) -> Finding:
    if me.skew is None:
        return warning("clock", msg("doctor-no-time"), msg("doctor-no-time-remedy"))
    if abs(me.skew) > SKEW_SECONDS:
        ahead = me.skew > 0
        seconds = f"{abs(me.skew):.0f}"
        return warning(
            "clock",
            msg("doctor-clock-ahead", seconds=seconds)
            if ahead
            else msg("doctor-clock-behind", seconds=seconds),
            msg("doctor-clock-remedy"),
        )
    return ok("clock", msg("doctor-clock-well"))


def _privacy(me: dict[str, Any]) -> Finding:
    if me.get("can_read_all_group_messages"):
        return warning(
            "privacy mode",
            msg("doctor-privacy-off"),
            msg("doctor-privacy-remedy"),
        )
    return ok("privacy mode", msg("doctor-privacy-on"))


def _webhook(info: Answer) -> Finding:
    if not info.ok:
        return warning("webhook", msg("doctor-cannot-ask", reason=info.description), msg("doctor-try-again"))
    if info.result.get("url"):
        return warning(
            "webhook",
            msg("doctor-webhook"),
            msg("doctor-webhook-remedy"),
        )
    waiting = info.result.get("pending_update_count", 0)
    return ok("webhook", msg("doctor-no-webhook", count=waiting))


async def _chat(api: BotApi, target: ChatTarget, bot_id: int) -> list[Finding]:
    chat = await api.call("getChat", chat_id=target.chat_id)
    if not chat.ok:
        return [_chat_refused(target, chat)]
    name = chat.result.get("title") or chat.result.get("first_name") or "?"
    kind = chat.result.get("type")
    found = [ok("chat", msg("doctor-chat-found", kind=_word("kind", kind), name=name))]
    if kind != "private":
        found += _rights(chat.result, await api.call("getChatMember", chat_id=target.chat_id, user_id=bot_id))
    topic = {} if target.thread_id is None else {"message_thread_id": target.thread_id}
    typing = await api.call("sendChatAction", chat_id=target.chat_id, action="typing", **topic)
    if typing.ok:
        where = (
            msg("doctor-the-chat")
            if target.thread_id is None
            else msg("doctor-the-topic", topic=target.thread_id)
        )
        found.append(ok("writing", msg("doctor-may-write", where=where)))
    else:
        found.append(_cannot_write(target, typing))
    return found


def _chat_refused(target: ChatTarget, chat: Answer) -> Finding:
    if chat.migrated_to is not None:
        return failed(
            "chat",
            msg("doctor-supergroup", chat=chat.migrated_to),
            msg("doctor-supergroup-remedy", chat=chat.migrated_to),
        )
    remedy = msg("doctor-press-start") if target.chat_id > 0 else msg("doctor-add-to-chat")
    return failed("chat", msg("doctor-chat-refused", reason=chat.description), remedy)


def _rights(chat: dict[str, Any], member: Answer) -> list[Finding]:
    if not member.ok:
        return [
            failed("rights", msg("doctor-cannot-ask", reason=member.description), msg("doctor-add-as-member"))
        ]
    mine = member.result
    status = mine.get("status")
    if status in _GONE:
        return [
            failed(
                "rights", msg("doctor-not-in-chat", status=_word("status", status)), msg("doctor-add-again")
            )
        ]
    if status == "restricted" and not mine.get("can_send_messages", False):
        return [failed("rights", msg("doctor-may-not-write"), msg("doctor-lift-restriction"))]
    if chat.get("type") == "channel" and not mine.get("can_post_messages", False):
        return [failed("rights", msg("doctor-may-not-post"), msg("doctor-make-poster"))]
    if status == "member" and chat.get("permissions", {}).get("can_send_messages") is False:
        return [failed("rights", msg("doctor-members-silent"), msg("doctor-make-administrator"))]
    pins = bool(mine.get("can_pin_messages"))
    pinning = msg("doctor-may-pin") if pins else msg("doctor-may-not-pin")
    return [ok("rights", f"{_word('status', status)}; {pinning}")]


def _word(area: str, said: object) -> str:
    """A "kind" of chat, or the bot's "status" there, in words; an unknown one as Telegram names it."""
    return msg(_WORDS[area, said]) if (area, said) in _WORDS else str(said)


def _cannot_write(target: ChatTarget, typing: Answer) -> Finding:
    text = typing.description
    if target.thread_id is not None and "thread" in text.lower():
        return failed(
            "topic",
            msg("doctor-no-topic", topic=target.thread_id, reason=text),
            msg("doctor-no-topic-remedy"),
        )
    if "TOPIC_CLOSED" in text:
        return failed("topic", msg("doctor-topic-closed"), msg("doctor-topic-closed-remedy"))
    return failed("writing", msg("doctor-telegram-refuses", reason=text), msg("doctor-let-write"))


async def _oncall(api: BotApi, people: Iterable[Person]) -> list[Finding]:
    """Whether each person can be written to in private: only those who have pressed Start can."""
    found = []
    for person in people:
        place = parse_destination(person.destination)
        user_id = place[0] if place is not None and place[0] > 0 else person.user_id
        if user_id is None:
            continue
        typing = await api.call("sendChatAction", chat_id=user_id, action="typing")
        if typing.ok:
            found.append(ok("oncall", msg("doctor-oncall-reached", name=person.name)))
        elif typing.status in (400, 403):
            text = msg("doctor-oncall-unreachable", name=person.name, reason=typing.description)
            found.append(warning("oncall", text, msg("doctor-oncall-unreachable-remedy", name=person.name)))
        else:
            text = msg("doctor-oncall-unknown", name=person.name, reason=typing.description)
            found.append(warning("oncall", text, msg("doctor-telegram-away-remedy")))
    return found


async def _people(api: BotApi, config: TelegramConfig) -> list[Finding]:
    actors = dict.fromkeys((*config.admins, *config.operators))
    if not actors:
        return [
            warning(
                "roles",
                msg("doctor-no-roles"),
                msg("doctor-no-roles-remedy"),
            )
        ]
    found = [ok("roles", msg("doctor-roles", admins=len(config.admins), operators=len(config.operators)))]
    if config.chat is None or config.chat.chat_id > 0:
        return found
    for user_id in list(actors)[:PEOPLE_ASKED]:
        member = await api.call("getChatMember", chat_id=config.chat.chat_id, user_id=user_id)
        if not member.ok or member.result.get("status") in _GONE:
            found.append(
                warning(
                    "roles",
                    msg("doctor-role-outside", user=user_id),
                    msg("doctor-role-outside-remedy"),
                )
            )
    return found
