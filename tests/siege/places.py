"""The chats of a siege, and which of the runner's destinations they are."""

from __future__ import annotations

FORUM, TOPIC, SECOND_TOPIC = -1001000000001, 17, 23
"""Two topics of one group, under one pace."""
OTHER_HOME = -1003000000001
"""Another group: some runners are configured to have it, in TOPIC, as the chat of the configuration."""
GROUP = -2000000001
"""Becomes a supergroup, again and again."""
ANN = 111

MAIN = ""
"""The chat of the configuration: hears everything, in TOPIC of FORUM or of OTHER_HOME."""
SECOND = f"{FORUM}:{SECOND_TOPIC}"
"""Hears of some tasks."""
LOUD = str(GROUP)
"""Hears what is critical."""
PRIVATE = str(ANN)
"""Is called when nobody reacts, and when a chat refuses us."""

_SUPERGROUPS = -1002000000000


def migrated(chat: int) -> int:
    """What LOUD's chat becomes."""
    return _SUPERGROUPS - 1 if chat == GROUP else chat - 1


def destination(chat: int, thread: int | None) -> str:
    """Whose message it is. Only TOPIC is ever closed, so what stands in General belongs to MAIN."""
    match chat:
        case _ if chat == OTHER_HOME:
            return MAIN
        case _ if chat == FORUM:
            return SECOND if thread == SECOND_TOPIC else MAIN
        case _ if chat == ANN:
            return PRIVATE
        case _:
            return LOUD


def home_of(birth: int) -> int:
    """The chat that the runner with this number (from 0) is configured for: another one with every third."""
    return OTHER_HOME if birth // 3 % 2 else FORUM


def second_hears(task: str) -> bool:
    """Tasks are called t000, t001, …"""
    return int(task[1:]) % 20 == 3
