"""What people are called and which language they read, as their Telegram tells it."""

from __future__ import annotations

from collections import OrderedDict

from bot.incoming import Sender
from runner.alerting.render import who
from runner.alerting.text import one_line, shorten
from runner.language.names import Language
from runner.language.translator import Translator

REMEMBERED = 1000
NAME_UNITS = 60


def language_of(sender: Sender, configured: Language) -> Language:
    """The person's own, if Dozor speaks it."""
    primary = sender.language_code.partition("-")[0].lower()
    return Language(primary) if primary in tuple(Language) else configured


class People:
    """Names by user id: of this process's time, so that ids need not be learnt by heart."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, str] = OrderedDict()

    def remember(self, sender: Sender) -> None:
        name = shorten(one_line(sender.user_name), NAME_UNITS)
        if sender.user_id is None or not name:
            return
        self._names[str(sender.user_id)] = name
        self._names.move_to_end(str(sender.user_id))
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)

    def called(self, actor: str, translator: Translator) -> str:
        """ "telegram:222" as "Oleg" where the name is known; else in words."""
        source, _, ident = actor.partition(":")
        name = self._names.get(ident) if source == "telegram" else None
        return name or who(translator, actor)
