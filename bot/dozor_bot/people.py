"""Names of people and chats, and the languages that people use, as updates of Telegram give them."""

from __future__ import annotations

from collections.abc import Mapping

from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.render import who
from dozor.control.commands.actor import Source
from dozor.control.queries.people import CHAT, place_name, read_names
from dozor.language.names import Language
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Pool
from dozor_bot.telegram.incoming import Sender

NAME_UNITS = 60
KEPT = 5000
"""Names in memory; beyond it new ones of strangers are not kept."""

WRITE_PEOPLE_SQL = """
INSERT INTO dozor.people (actor, name) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (actor) DO UPDATE SET name = excluded.name
"""


def language_of(sender: Sender, configured: Language) -> Language:
    """The person's own, if Dozor has texts in it."""
    primary = sender.language_code.partition("-")[0].lower()
    return Language(primary) if primary in tuple(Language) else configured


def without_mention(name: str) -> str:
    """A name that notifies nobody: Telegram reads "@ann" in a text as a mention."""
    return name.replace("@", "＠")


class People:
    """Names, so that ids need not be learnt by heart.

    `configured`: by actor ("telegram:111"), for whom has not been met yet.
    """

    def __init__(self, configured: Mapping[str, str] | None = None) -> None:
        self._configured = dict(configured or {})
        self._names: dict[str, str] = {}
        self._usernames: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}
        self._read = False

    def remember(self, sender: Sender) -> None:
        """Somebody with a role, or somebody whose attempt is in the audit; and the chat."""
        if sender.user_id is not None:
            actor = f"{Source.TELEGRAM}:{sender.user_id}"
            self._keep(actor, sender.user_name)
            if sender.username:
                self._usernames[actor] = sender.username
        if sender.chat_title:
            self.remember_chat(sender.chat_id, sender.chat_title)

    def remember_chat(self, chat_id: int, title: str) -> None:
        """The title of a group or channel."""
        self._keep(f"{CHAT}:{chat_id}", title)

    def _keep(self, actor: str, name: str) -> None:
        name = without_mention(shorten(one_line(name), NAME_UNITS))
        if name and self._names.get(actor) != name and (actor in self._names or len(self._names) < KEPT):
            self._names[actor] = self._unwritten[actor] = name

    def name_of(self, actor: str) -> str | None:
        """Of "telegram:222": Oleg, if it is known. Two people of one name are distinguished."""
        name = self._names.get(actor) or self._configured.get(actor)
        if name is None or not self._is_shared(actor, name):
            return name
        other = self._configured.get(actor)
        if other is not None and other != name and not self._is_shared(actor, other):
            return other
        return f"{name} ({self._usernames.get(actor) or actor.partition(':')[2]})"

    def place_name(self, place: str) -> str | None:
        """Of a destination such as "-1001:17" or "111": the title of the chat, or the person's name."""
        return place_name(place, self.name_of)

    def called(self, actor: str, translator: Translator) -> str:
        """By name where it is known; else in words."""
        return who(translator, actor, self.name_of)

    async def keep(self, pool: Pool) -> None:
        """Read what the process before this one has written, once, and write what is new."""
        if not self._read:
            self._names = await read_names(pool) | self._names
            self._read = True
        if self._unwritten:
            written = dict(self._unwritten)
            await pool.execute(WRITE_PEOPLE_SQL, list(written), list(written.values()))
            self._unwritten = {a: n for a, n in self._unwritten.items() if written.get(a) != n}

    def _is_shared(self, actor: str, name: str) -> bool:
        kind = actor.partition(":")[0]
        known = {**self._configured, **self._names}
        return any(
            other != actor and called.casefold() == name.casefold() and other.startswith(f"{kind}:")
            for other, called in known.items()
        )
