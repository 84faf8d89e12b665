"""Was the stand-in's own pace kept? From its log of the calls that came to it, let pass or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.bot.botapi.pace import Limits
from tests.siege.standin import Attempt


@dataclass(frozen=True, slots=True)
class Excess:
    """`most`: calls by which the fullest window was over rate x length + burst; 0: never."""

    chat: int
    most: float
    burst: float


def excesses(attempts: Iterable[Attempt], limits: Limits) -> list[Excess]:
    """Of each chat, by its tightest limit; 0 for the whole bot."""
    of_chat: dict[int, list[float]] = defaultdict(list)
    for attempt in attempts:
        of_chat[attempt.chat].append(attempt.at)
        of_chat[0].append(attempt.at)
    found = []
    for chat, times in of_chat.items():
        pairs = [(limits.chat_rate, limits.chat_burst)]
        if chat < 0:
            pairs.append((limits.group_rate, limits.group_burst))
        if chat == 0:
            pairs = [(limits.overall_rate, limits.overall_burst)]
        for rate, burst in pairs:
            found.append(Excess(chat, over(sorted(times), rate, burst), burst))
    return found


def over(times: list[float], rate: float, burst: float) -> float:
    """The most by which any window holds more than rate x its length + burst."""
    level, most, before = 0.0, 0.0, 0.0
    for at in times:
        level = max(0.0, level - (at - before) * rate) + 1.0
        before = at
        most = max(most, level - burst)
    return most
