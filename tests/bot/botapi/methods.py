"""What each method of the Bot API does here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.bot.botapi.model import Chat, Json, StoredMessage, World
from tests.bot.botapi.pace import Pace
from tests.bot.botapi.refusal import bad_request, too_many_requests
from tests.bot.botapi.validation import (
    CALLBACK_ANSWER_LIMIT,
    CAPTION_LIMIT,
    TEXT_LIMIT,
    Params,
    Upload,
    check_markup,
    check_text,
)

CALLBACK_FRESH_FOR = 15.0
"""Seconds in which a press can be answered."""


class Methods:
    """Synchronous: a call is carried out whole or refused whole. getUpdates is the server's own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pace: Pace | None = None
        self.callback_fresh_for = CALLBACK_FRESH_FOR
        self.table: dict[str, Callable[[Params], Any]] = {
            "getMe": self.get_me,
            "getChat": self.get_chat,
            "getChatMember": self.get_chat_member,
            "sendChatAction": self.send_chat_action,
            "deleteWebhook": self.delete_webhook,
            "setWebhook": self.set_webhook,
            "getWebhookInfo": self.get_webhook_info,
            "setMyCommands": self.set_my_commands,
            "getMyCommands": self.get_my_commands,
            "deleteMyCommands": self.delete_my_commands,
            "sendMessage": self.send_message,
            "sendDocument": self.send_document,
            "sendPhoto": self.send_photo,
            "editMessageText": self.edit_message_text,
            "editMessageMedia": self.edit_message_media,
            "editMessageReplyMarkup": self.edit_message_reply_markup,
            "deleteMessage": self.delete_message,
            "answerCallbackQuery": self.answer_callback_query,
        }

    def get_me(self, params: Params) -> Json:
        return {
            **self.world.bot.to_json(),
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    def get_chat(self, params: Params) -> Json:
        chat = self.world.find_chat(params["chat_id"])
        return {
            **chat.to_json(),
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": {
                "unlimited_gifts": False,
                "limited_gifts": False,
                "unique_gifts": False,
                "premium_subscription": False,
                "gifts_from_channels": False,
            },
        }

    def get_chat_member(self, params: Params) -> Json:
        self.world.find_chat(params["chat_id"])
        user = (
            self.world.bot
            if params["user_id"] == self.world.bot.id
            else self.world.users.get(params["user_id"])
        )
        if user is None:
            raise bad_request("user not found")
        return {"status": "member", "user": user.to_json()}

    def send_chat_action(self, params: Params) -> bool:
        self._check_thread(self.world.find_chat(params["chat_id"]), params.get("message_thread_id"))
        return True

    def delete_webhook(self, params: Params) -> bool:
        self.world.webhook = ""
        if params.get("drop_pending_updates"):
            self.world.updates.clear()
        return True

    def set_webhook(self, params: Params) -> bool:
        self.world.webhook = params["url"]
        return True

    def get_webhook_info(self, params: Params) -> Json:
        return {
            "url": self.world.webhook,
            "has_custom_certificate": False,
            "pending_update_count": len(self.world.updates),
        }

    def set_my_commands(self, params: Params) -> bool:
        for command in params["commands"]:
            if not 1 <= len(command["command"]) <= 32 or not 1 <= len(command["description"]) <= 256:
                raise bad_request("BOT_COMMAND_INVALID")
        self.world.commands[self._menu(params)] = params["commands"]
        return True

    def get_my_commands(self, params: Params) -> list[Json]:
        return self.world.commands.get(self._menu(params), [])

    def delete_my_commands(self, params: Params) -> bool:
        self.world.commands.pop(self._menu(params), None)
        return True

    def _menu(self, params: Params) -> str:
        """The language of the default scope; of others "chat:5/ru", "chat_member:5:111/ru"."""
        scope, language = params.get("scope") or {"type": "default"}, params.get("language_code", "")
        if scope["type"] == "default":
            return str(language)
        if "chat_id" in scope:
            self.world.find_chat(int(scope["chat_id"]))
        parts = [scope["type"], *(str(scope[key]) for key in ("chat_id", "user_id") if key in scope)]
        return f"{':'.join(parts)}/{language}"

    def send_message(self, params: Params) -> Json:
        text = check_text(params["text"], params.get("entities"), TEXT_LIMIT)
        return self._send(params, text, self._known(params.get("entities"))).to_json()

    def _known(self, entities: list[Json] | None) -> list[Json]:
        """A mention of somebody the bot has never met becomes plain text, without a word."""
        return [
            entity
            for entity in entities or []
            if entity["type"] != "text_mention" or entity["user"]["id"] in self.world.users
        ]

    def send_document(self, params: Params) -> Json:
        document = params["document"]
        name = document.filename if isinstance(document, Upload) else str(document)
        text = check_text(params.get("caption", ""), params.get("caption_entities"), CAPTION_LIMIT)
        content = document.content if isinstance(document, Upload) else b""
        if isinstance(document, Upload) and not content:
            raise bad_request("file must be non-empty")
        sent = self._send(params, text, params.get("caption_entities"), document=name, content=content)
        return sent.to_json()

    def send_photo(self, params: Params) -> Json:
        text = check_text(params.get("caption", ""), params.get("caption_entities"), CAPTION_LIMIT)
        return self._send(params, text, params.get("caption_entities"), photo=True).to_json()

    def _send(self, params: Params, text: str, entities: list[Json] | None, **more: Any) -> StoredMessage:
        chat = self.world.find_chat(params["chat_id"])
        check_markup(params.get("reply_markup"))
        reply_to = (params.get("reply_parameters") or {}).get("message_id")
        if reply_to is not None and (chat.id, reply_to) not in self.world.messages:
            if not params["reply_parameters"].get("allow_sending_without_reply"):
                raise bad_request("message to be replied not found")
            reply_to = None
        thread_id = params.get("message_thread_id")
        if reply_to is not None:  # it lands in the topic of that message, whatever `message_thread_id` says
            thread_id = self.world.messages[chat.id, reply_to].thread_id
        thread_id = self._check_thread(chat, thread_id)
        kind = "photos" if more.get("photo") else "documents" if more.get("document") else "text messages"
        if kind in chat.forbids:
            raise bad_request(f"not enough rights to send {kind} to the chat")
        self._keep_pace(chat)
        return self.world.store(
            chat,
            self.world.bot,
            text,
            entities=entities,
            markup=params.get("reply_markup"),
            thread_id=thread_id,
            silent=params.get("disable_notification", False),
            reply_to=reply_to,
            **more,
        )

    def _check_thread(self, chat: Chat, thread_id: int | None) -> int | None:
        if thread_id is None:
            if chat.is_forum and chat.general_closed:
                raise bad_request("TOPIC_CLOSED")
            return None
        if not chat.is_forum or thread_id not in chat.topics:
            raise bad_request("message thread not found")  # 1, the General topic, must be left out
        if not chat.topics[thread_id]:
            raise bad_request("TOPIC_CLOSED")
        return thread_id

    def _keep_pace(self, chat: Chat) -> None:
        if self.pace is not None and (seconds := self.pace.admit(chat.id, group=chat.is_group)):
            raise too_many_requests(seconds)

    def edit_message_text(self, params: Params) -> Json:
        text = check_text(params.get("text", ""), params.get("entities"), TEXT_LIMIT)
        chat = self.world.find_chat(params.get("chat_id"))
        message = self.world.find_message(chat, params.get("message_id"), "edit")
        if message.photo or message.document:
            raise bad_request("there is no text in the message to edit")
        check_markup(params.get("reply_markup"))
        entities, markup = params.get("entities") or [], params.get("reply_markup")
        if (message.text, message.entities, message.markup) == (text, entities, markup):
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly"
                " the same as a current content and reply markup of the message"
            )
        self._keep_pace(chat)
        message.text, message.entities, message.markup = text, entities, markup
        message.history.append(text)
        return message.to_json()

    def edit_message_media(self, params: Params) -> Json:
        media = params["media"]
        text = check_text(media.get("caption", ""), media.get("caption_entities"), CAPTION_LIMIT)
        chat = self.world.find_chat(params.get("chat_id"))
        message = self.world.find_message(chat, params.get("message_id"), "edit")
        check_markup(params.get("reply_markup"))
        self._keep_pace(chat)
        message.text, message.entities = text, media.get("caption_entities") or []
        message.markup, message.photo, message.document = params.get("reply_markup"), True, None
        message.history.append(text)
        return message.to_json()

    def edit_message_reply_markup(self, params: Params) -> Json:
        chat = self.world.find_chat(params.get("chat_id"))
        message = self.world.find_message(chat, params.get("message_id"), "edit")
        check_markup(params.get("reply_markup"))
        if message.markup == params.get("reply_markup"):
            raise bad_request("message is not modified")
        self._keep_pace(chat)
        message.markup = params.get("reply_markup")
        return message.to_json()

    def delete_message(self, params: Params) -> bool:
        chat = self.world.find_chat(params["chat_id"])
        message = self.world.find_message(chat, params["message_id"], "delete")
        del self.world.messages[chat.id, message.message_id]
        return True

    def answer_callback_query(self, params: Params) -> bool:
        if len(params.get("text", "")) > CALLBACK_ANSWER_LIMIT:
            raise bad_request("MESSAGE_TOO_LONG")
        pressed = self.world.callbacks.get(params["callback_query_id"])
        if pressed is None or self.world.now() - pressed > self.callback_fresh_for:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        self.world.answered.append(params)
        return True
