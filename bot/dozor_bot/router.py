"""Routes updates to handlers. Default deny: the role is checked for every message and press."""

from __future__ import annotations

from typing import assert_never

from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import decode
from dozor.storage.postgres.pool import Connection
from dozor_bot.commands import BY_NAME, ROLE_NAMES, CommandSpec
from dozor_bot.handlers.acting import Action
from dozor_bot.handlers.alerting import AlertAction
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.handlers.help import show_identity_to_a_stranger
from dozor_bot.handlers.late import answer_late_press, explain_unknown, offer, unwrap
from dozor_bot.handlers.table import COMMAND_HANDLERS, PRESSES
from dozor_bot.responses import DENIED, REFUSAL, Denial, Notice, Refusal, Reply, Response
from dozor_bot.security.access import Access, Role
from dozor_bot.security.flood import Attempt, AuditThrottle, OncePer, RecentCommands, UserRateLimiter
from dozor_bot.telegram.incoming import (
    Authorship,
    Command,
    Json,
    Membership,
    Migration,
    Pressed,
    Sender,
    UnreadableUpdateError,
    chat_of,
    read_update,
)
from dozor_bot.telegram.pending_answers import PendingAnswer
from dozor_bot.telegram.replies import PressAnswer

AUDITED_UNITS = 40
FLOOD = "ignored: too many"
BURST, RATE = 20.0, 1.0
"""Commands and presses of one person: at once, and a second."""
IDENTITY_BURST, IDENTITY_RATE = 2.0, 1 / 30
"""How often one person gets an answer with their own id."""
EXPLAINED_FOR = 600.0
"""Seconds in which a person gets one answer about why, for example, a forwarded command is refused."""


class Router:
    """`username`: the bot's own, without @; commands addressed to another bot are not ours."""

    def __init__(self, context: HandlerContext, access: Access) -> None:
        self.username = ""
        self._context = context
        self._access = access
        self._attempts = AuditThrottle()
        self._allowance = UserRateLimiter(BURST, RATE)
        self._identities = UserRateLimiter(IDENTITY_BURST, IDENTITY_RATE)
        self._explained = OncePer(EXPLAINED_FOR)
        self._read = RecentCommands()

    async def prepare(self, update: Json) -> Response | None:
        """Decides, answers a press, reads the database; writes nothing. None: nothing to do, and no trace.

        Raises UnreadableUpdateError.
        """
        if (chat_id := chat_of(update)) is not None:
            self._context.chats.heard_in(chat_id)
        incoming = read_update(update, self.username)
        match incoming:
            case None:
                return None
            case Membership():
                return self._membership(incoming)
            case Migration(old_id, new_id):
                self._context.chats.moved(old_id, new_id)
                return None
            case Command():
                return await self._command(incoming)
            case Pressed():
                return await self._pressed(incoming)
            case _:
                assert_never(incoming)

    async def resume(self, owed: PendingAnswer) -> Response | None:
        """The answer that an earlier process has left; None: the person has no role any more.

        A command that was submitted is not submitted again; what only reads is read as it is now.
        Raises UnreadableUpdateError.
        """
        incoming = read_update(owed.source, self.username)
        if not isinstance(incoming, Command | Pressed):
            return None
        if owed.state is None:
            return await self.prepare(owed.source)
        if REFUSAL in owed.state:
            if not self._may_be_answered(incoming):
                return None
            return Refusal.restored(self._context.replies, incoming.sender, owed.state)
        if self._access.role_of(incoming.sender.user_id) is None:
            return None
        context = self._context_for(incoming.sender)
        restored = AlertAction if "alert" in owed.state else Action
        return restored.restored(context, incoming.sender, owed.state)

    def _may_be_answered(self, incoming: Command | Pressed) -> bool:
        """Everybody with a role; of the others whoever writes as nobody in particular in an alert chat."""
        sender = incoming.sender
        if self._access.role_of(sender.user_id) is not None:
            return True
        anonymous = isinstance(incoming, Command) and incoming.authorship in _NOBODY
        return anonymous and self._context.chats.is_of_alerts(sender.chat_id)

    def has_uncounted(self) -> bool:
        """Whether a flood is over whose attempts are not all written down."""
        return self._attempts.has_uncounted(self._context.clock.now())

    async def write_uncounted(self, connection: Connection) -> None:
        """Audit rows of floods that are over: see `AuditThrottle`."""
        uncounted = self._attempts.take_uncounted(self._context.clock.now())
        try:
            for attempt, count in uncounted:
                await _denial(attempt, count).write(connection)
        except BaseException:
            self._attempts.put_back(uncounted)
            raise

    def apology(self, update: Json, key: str) -> Response:
        """The text `key` to the person, if it is one of ours."""
        try:
            incoming = read_update(update, self.username)
        except UnreadableUpdateError:
            return Response()
        if not isinstance(incoming, Command | Pressed):
            return Response()
        known = self._access.role_of(incoming.sender.user_id) is not None
        return self.apology_to(incoming.sender if known else None, key)

    def apology_to(self, sender: Sender | None, key: str) -> Response:
        """None: nothing is called."""
        if sender is None:
            return Response()
        context = self._context.in_language_of(sender)
        return context.answer(sender, context.translator.format(key))

    # -- commands

    async def _command(self, command: Command) -> Response | None:
        sender, spec = command.sender, BY_NAME.get(command.name)
        role = self._access.role_of(sender.user_id)
        if spec is None and not sender.private:
            return None  # in a group it may be meant for another bot there
        action = f"/{command.name}" if command.name else "message"
        words = f"{command.name} {command.argument}"
        new = self._read.note(sender.chat_id, sender.message_id, words, sender.update_id)
        if not new and command.authorship is Authorship.EDITED:
            return None  # Telegram reports changes of other fields as well: these words are known
        if spec is not None and command.authorship in _SECOND_HAND:
            return self._second_hand(command, role, action)
        if role is None:
            return self._unauthorised(command, spec, action)
        context = self._context_for(sender)
        if not self._allowed(sender):
            answer = context.answer(sender, context.translator.format("too-many"))
            return self._attempt(sender, action, FLOOD, answer, target=command.argument)
        if spec is None:
            return context.answer(sender, context.translator.format("command-unknown"))
        if command.authorship in _OFFERED:
            return self._offer(context, command)
        if role < spec.role:
            answer = context.answer(sender, _needs(context, role, spec.role))
            return self._attempt(sender, action, DENIED, answer, target=command.argument)
        return await COMMAND_HANDLERS[spec.name](context, command, role)

    def _offer(self, context: HandlerContext, command: Command) -> Response:
        """The person's own, but perhaps not meant: with a button that carries it out."""
        words = context.translator.format(_OFFERED[command.authorship], bot=command.origin, own=self.username)
        return offer(context, command.sender, words, f"{command.name} {command.argument}".strip())

    def _second_hand(self, command: Command, role: Role | None, action: str) -> Response | None:
        """Not written by the sender: never carried out. The reason is given once, to whom it can help."""
        sender, authorship = command.sender, command.authorship
        nobody = authorship in _NOBODY
        helps = self._context.chats.is_of_alerts(sender.chat_id) if nobody else role is not None
        if not helps:
            return self._attempt(sender, action, DENIED)
        context = self._context.in_language_of(sender) if nobody else self._context_for(sender)
        said = f"{sender.chat_id}/{sender.user_id}/{authorship}/{command.origin}"
        answer = None
        if self._explained.take(said, context.clock.now()):
            answer = context.answer(
                sender, context.translator.format(_SECOND_HAND[authorship], command=action)
            )
        return self._attempt(sender, action, DENIED, answer)

    def _membership(self, member: Membership) -> Response:
        context = self._context
        if member.title:
            context.people.remember_chat(member.chat_id, member.title)
        return Notice(handle=lambda: context.chats.changed(member))

    def _unauthorised(self, command: Command, spec: CommandSpec | None, action: str) -> Response | None:
        """Silence and an audit row; but in private everybody may learn their own id."""
        sender = command.sender
        asks = spec is BY_NAME["whoami"] and sender.private and sender.user_id is not None
        if asks and self._identities.take(sender.user_id or 0, self._context.clock.now()):
            return show_identity_to_a_stranger(self._context.in_language_of(sender), sender)
        return self._attempt(sender, action, DENIED, target=command.argument)

    # -- presses

    async def _pressed(self, pressed: Pressed) -> Response | None:
        sender = pressed.sender
        role = self._access.role_of(sender.user_id)
        written = f"press {shorten(one_line(pressed.data), AUDITED_UNITS)}"
        if role is None:
            return self._attempt(sender, written, DENIED)
        context = self._context_for(sender)
        if not self._allowed(sender):
            work = self._attempt(sender, written, FLOOD)
            if work is not None:
                await self._say(context, pressed, context.translator.format("too-many"))
            return work
        press = decode(pressed.data) if pressed.data.isprintable() else None
        press, offered = unwrap(press)
        spec = None if press is None else PRESSES.get(press.action.partition(".")[0])
        if press is None or spec is None:
            await self._say(context, pressed, context.translator.format("press-unknown"))
            answer = None if pressed.shown is False else await explain_unknown(context, pressed)
            return self._attempt(sender, written, DENIED, answer)
        if role < spec.role:
            # Said in the answer to the press, to this person alone.
            await self._say(context, pressed, _needs(context, role, spec.role))
            return self._attempt(sender, written, DENIED)
        if pressed.shown is False:
            # A changed client can send any data; what Telegram shows under the message cannot be made up.
            return await self._unknown_button(context, pressed, written)
        if spec.answers:
            return await spec.handler(context, pressed, press, role)
        answered = await self._say(
            context, pressed, context.translator.format("press-taken") if spec.acts else ""
        )
        if spec.acts and answered is PressAnswer.STALE:
            # Pressed minutes ago or before: the person meant another situation.
            return await answer_late_press(context, pressed, press, offered=offered)
        return await spec.handler(context, pressed, press, role)

    async def _say(self, context: HandlerContext, pressed: Pressed, text: str) -> PressAnswer:
        return await context.replies.answer_press(pressed.callback_id, text)

    async def _unknown_button(
        self, context: HandlerContext, pressed: Pressed, written: str
    ) -> Response | None:
        await self._say(context, pressed, context.translator.format("press-unknown"))
        return self._attempt(pressed.sender, written, DENIED)

    # -- both

    def _context_for(self, sender: Sender) -> HandlerContext:
        self._context.people.remember(sender)
        if sender.private:
            self._context.chats.person_wrote(sender.chat_id)
        return self._context.in_language_of(sender)

    def _allowed(self, sender: Sender) -> bool:
        assert sender.user_id is not None
        return self._allowance.take(sender.user_id, self._context.clock.now())

    def _attempt(
        self, sender: Sender, action: str, result: str, answer: Reply | None = None, *, target: str = ""
    ) -> Response | None:
        """An audit row, and perhaps an answer; of a flood one row in ten seconds, which counts the others."""
        target = shorten(one_line(target), AUDITED_UNITS)
        attempt = Attempt(sender.user_id, sender.chat_id, action, result, target)
        count = self._attempts.note(attempt, self._context.clock.now())
        if count is not None:
            self._context.people.remember(sender)  # the audit shows who it was by name
        if count is None:
            return None if result == FLOOD or answer is None else Refusal.of(answer)
        return _denial(attempt, count, answer)


_NOBODY = frozenset((Authorship.ANONYMOUS, Authorship.CHANNEL))
_SECOND_HAND = {
    Authorship.FORWARDED: "second-hand-forwarded",
    Authorship.VIA_BOT: "second-hand-via-bot",
    Authorship.CHANNEL: "second-hand-channel",
    Authorship.ANONYMOUS: "second-hand-anonymous",
}

_OFFERED = {
    Authorship.EDITED: "second-hand-edited",
    Authorship.ADDRESSED: "second-hand-addressed",
}


def _denial(attempt: Attempt, count: int, answer: Reply | None = None) -> Denial:
    return Denial(attempt=attempt, count=count, answer=answer)


def _needs(context: HandlerContext, role: Role, needed: Role) -> str:
    text = context.translator.format
    return text("forbidden", needed=text(ROLE_NAMES[needed]), role=text(ROLE_NAMES[role]))
