"""What people are called and which language they read, as their Telegram tells it."""

from __future__ import annotations

from collections.abc import Mapping

from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.render import who
from dozor.control.commands.actor import Source
from dozor.language.names import Language
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Pool
from dozor_bot.telegram.incoming import Sender

NAME_UNITS = 60

READ_PEOPLE_SQL = "SELECT actor, name FROM dozor.people"
WRITE_PEOPLE_SQL = """
INSERT INTO dozor.people (actor, name) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (actor) DO UPDATE SET name = excluded.name
"""


def language_of(sender: Sender, configured: Language) -> Language:
    """The person's own, if Dozor speaks it."""
    primary = sender.language_code.partition("-")[0].lower()
    return Language(primary) if primary in tuple(Language) else configured


class People:
    """Names of those who have a role, so that ids need not be learnt by heart.

    `configured`: by actor ("telegram:111"), for whom has not been met yet.
    """

    def __init__(self, configured: Mapping[str, str] | None = None) -> None:
        self._configured = dict(configured or {})
        self._names: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}
        self._read = False

    def remember(self, sender: Sender) -> None:
        """To be called for people with a role: nobody else is kept in mind."""
        name = shorten(one_line(sender.user_name), NAME_UNITS)
        actor = f"{Source.TELEGRAM}:{sender.user_id}"
        if sender.user_id is not None and name and self._names.get(actor) != name:
            self._names[actor] = self._unwritten[actor] = name

    def name_of(self, actor: str) -> str | None:
        """Of "telegram:222": Oleg, if it is known."""
        return self._names.get(actor) or self._configured.get(actor)

    def called(self, actor: str, translator: Translator) -> str:
        """By name where it is known; else in words."""
        return who(translator, actor, self.name_of)

    async def keep(self, pool: Pool) -> None:
        """Read what the process before this one knew, once, and write down what is new."""
        if not self._read:
            known = {row["actor"]: row["name"] for row in await pool.fetch(READ_PEOPLE_SQL)}
            self._names = known | self._names
            self._read = True
        if self._unwritten:
            written = dict(self._unwritten)
            await pool.execute(WRITE_PEOPLE_SQL, list(written), list(written.values()))
            self._unwritten = {a: n for a, n in self._unwritten.items() if written.get(a) != n}
