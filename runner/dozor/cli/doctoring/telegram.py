"""Telegram: the token, the chat, what the bot may do there, and who may command."""

from __future__ import annotations

from typing import Any

from dozor.cli.doctoring.api import Answer, BotApi
from dozor.cli.doctoring.finding import Finding, failed, ok, warning
from dozor.config.models import ChatTarget, TelegramConfig

SKEW_SECONDS = 5.0
PEOPLE_ASKED = 20
"""Persons whose membership is looked up, at most."""

_GONE = ("left", "kicked")


async def check_telegram(config: TelegramConfig) -> list[Finding]:
    """Everything that can be asked without sending a message."""
    if config.token is None:
        return [
            warning(
                "token",
                "telegram.token is empty: alerts go to the console only",
                "get a token from @BotFather and put it into telegram.token",
            )
        ]
    async with BotApi(config) as api:
        me = await api.call("getMe")
        if not me.ok:
            return [_token_refused(me)]
        found = [ok("token", f"@{me.result.get('username')}, id {me.result['id']}"), _clock(me)]
        found.append(_privacy(me.result))
        found.append(_webhook(await api.call("getWebhookInfo")))
        if config.chat is not None:
            found += await _chat(api, config.chat, int(me.result["id"]))
        found += await _people(api, config)
    return found


def _token_refused(me: Answer) -> Finding:
    if me.status in (401, 404):
        return failed(
            "token",
            f"Telegram does not know this token ({me.description})",
            "copy it anew from @BotFather (/mybots, API Token) into telegram.token",
        )
    return failed(
        "token",
        f"Telegram cannot be asked: {me.description}",
        "check the network, telegram.api_url and telegram.proxy; alerts wait in the database meanwhile",
    )


def _clock(me: Answer) -> Finding:
    if me.skew is None:
        return warning("clock", "Telegram did not say the time", "check telegram.api_url")
    if abs(me.skew) > SKEW_SECONDS:
        side = "ahead of" if me.skew > 0 else "behind"
        return warning(
            "clock",
            f"this machine is {abs(me.skew):.0f} s {side} Telegram",
            "switch on time synchronisation (timedatectl set-ntp true)",
        )
    return ok("clock", "as Telegram's, to a second or so")


def _privacy(me: dict[str, Any]) -> Finding:
    if me.get("can_read_all_group_messages"):
        return warning(
            "privacy mode",
            "off: the bot is sent every message of its groups, and needs only commands",
            "@BotFather: /setprivacy, Enable; then remove the bot from the group and add it again",
        )
    return ok("privacy mode", "on: the bot is sent commands and replies only, which is all it needs")


def _webhook(info: Answer) -> Finding:
    if not info.ok:
        return warning("webhook", f"cannot be asked: {info.description}", "try again")
    if info.result.get("url"):
        return warning(
            "webhook",
            "one is set, so commands go elsewhere: the runner removes it when it starts",
            "end the program that set it, or it will be set again; or use a bot of Dozor's own",
        )
    waiting = info.result.get("pending_update_count", 0)
    return ok("webhook", f"none; {waiting} updates wait to be taken")


async def _chat(api: BotApi, target: ChatTarget, bot_id: int) -> list[Finding]:
    chat = await api.call("getChat", chat_id=target.chat_id)
    if not chat.ok:
        return [_chat_refused(target, chat)]
    name = chat.result.get("title") or chat.result.get("first_name") or "?"
    kind = chat.result.get("type")
    found = [ok("chat", f"{kind} {name!r}")]
    if kind != "private":
        found += _rights(chat.result, await api.call("getChatMember", chat_id=target.chat_id, user_id=bot_id))
    topic = {} if target.thread_id is None else {"message_thread_id": target.thread_id}
    typing = await api.call("sendChatAction", chat_id=target.chat_id, action="typing", **topic)
    if typing.ok:
        where = "the chat" if target.thread_id is None else f"topic {target.thread_id}"
        found.append(ok("writing", f"the bot may write to {where}"))
    else:
        found.append(_cannot_write(target, typing))
    return found


def _chat_refused(target: ChatTarget, chat: Answer) -> Finding:
    if chat.migrated_to is not None:
        return failed(
            "chat",
            f"the group has become a supergroup, {chat.migrated_to}",
            f"put {chat.migrated_to} into telegram.chat",
        )
    if target.chat_id > 0:
        remedy = "the person must open the bot and press Start once; or correct telegram.chat"
    else:
        remedy = "add the bot to the chat, and compare telegram.chat with what /whoami says there"
    return failed("chat", f"Telegram refuses it: {chat.description}", remedy)


def _rights(chat: dict[str, Any], member: Answer) -> list[Finding]:
    if not member.ok:
        return [
            failed("rights", f"cannot be asked: {member.description}", "add the bot to the chat as a member")
        ]
    mine = member.result
    status = mine.get("status")
    if status in _GONE:
        return [failed("rights", f"the bot is not in the chat ({status})", "add it to the chat again")]
    if status == "restricted" and not mine.get("can_send_messages", False):
        return [failed("rights", "the bot may not write here", "lift its restriction in the chat's settings")]
    if chat.get("type") == "channel" and not mine.get("can_post_messages", False):
        return [failed("rights", "the bot may not post", "make it an administrator that may post messages")]
    if status == "member" and chat.get("permissions", {}).get("can_send_messages") is False:
        return [failed("rights", "members may not write here", "make the bot an administrator of the chat")]
    pins = bool(mine.get("can_pin_messages"))
    pinning = "may pin messages" if pins else "may not pin messages, which nothing needs by now"
    return [ok("rights", f"{status}; {pinning}")]


def _cannot_write(target: ChatTarget, typing: Answer) -> Finding:
    text = typing.description
    if target.thread_id is not None and "thread" in text.lower():
        return failed(
            "topic",
            f"topic {target.thread_id} is not there ({text})",
            "correct what follows the ':' in telegram.chat; without it alerts go to General",
        )
    if "TOPIC_CLOSED" in text:
        return failed("topic", "the topic is closed", "open it, or let the bot manage topics")
    return failed("writing", f"Telegram refuses: {text}", "let the bot send messages in this chat")


async def _people(api: BotApi, config: TelegramConfig) -> list[Finding]:
    actors = dict.fromkeys((*config.admins, *config.operators))
    if not actors:
        return [
            warning(
                "roles",
                "nobody is admin or operator: no command in Telegram will be obeyed",
                "put user ids into telegram.admins; /whoami in the bot tells them",
            )
        ]
    found = [ok("roles", f"{len(config.admins)} admins, {len(config.operators)} operators")]
    if config.chat is None or config.chat.chat_id > 0:
        return found
    for user_id in list(actors)[:PEOPLE_ASKED]:
        member = await api.call("getChatMember", chat_id=config.chat.chat_id, user_id=user_id)
        if not member.ok or member.result.get("status") in _GONE:
            found.append(
                warning(
                    "roles",
                    f"{user_id} has a role and is not in the alert chat",
                    "add the person to the chat, or take the id out of the configuration",
                )
            )
    return found
