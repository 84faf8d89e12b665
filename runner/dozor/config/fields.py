"""Values of single keys: pure functions from what YAML holds to what the program needs.

Each raises ValueError with a sentence that says what is wrong and what would be right.
`{value}` in it stands for the refused value, which the caller shows or hides.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

CRON_FIELDS = "minute hour day-of-month month day-of-week"

_TASK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_FUNCTION = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)?")


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no known word is like `word`."""
    options = {option.lower(): option for option in known}
    found = difflib.get_close_matches(word.lower(), options, n=1, cutoff=0.6)
    return f"; did you mean {options[found[0]]}?" if found else ""


def parse_task_name(value: object) -> str:
    """At most 40 characters: a button's callback_data is at most 64 bytes (Bot API)."""
    if not isinstance(value, str) or not _TASK_NAME.fullmatch(value):
        raise ValueError("a task's name is 1 to 40 of A-Z, a-z, 0-9, _, . and -; rename it")
    if value == "all":
        raise ValueError("commands take all for every task (/silence all 1h); name the task otherwise")
    return value


def parse_reference(value: object) -> str:
    """`module:function` or `module:Class.method`; whether it exists is another question."""
    if not isinstance(value, str):
        raise ValueError("{value} is not a function; write module:function")
    text = value.strip()
    module, colon, function = text.partition(":")
    if module.endswith(".py") or "/" in module:
        guess = module.removesuffix(".py").strip("./").replace("/", ".")
        raise ValueError(f"{{value}} is a path; write the module's name: {guess}:{function or 'function'}")
    if not colon and "." in text and _MODULE.fullmatch(text):
        module, _, function = text.rpartition(".")
        raise ValueError(f"{{value}} has no ':' before the function; write {module}:{function}")
    if not _MODULE.fullmatch(module) or not _FUNCTION.fullmatch(function):
        raise ValueError("{value} is not a function; write module:function or module:Class.method")
    return text


def parse_timezone(value: object) -> ZoneInfo:
    """A name of the IANA database."""
    if isinstance(value, ZoneInfo):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("{value} is not a timezone; write a name such as Europe/Moscow or UTC")
    try:
        return ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        names = zoneinfo.available_timezones()
        if not names:
            raise ValueError("this machine has no timezones; install tzdata (apt or pip)") from None
        cities = {name.rpartition("/")[2]: name for name in sorted(names)}
        hint = nearest(value, names)
        if not hint and (city := nearest(value.rpartition("/")[2], cities)):
            hint = f"; did you mean {cities[city.removeprefix('; did you mean ').rstrip('?')]}?"
        hint = hint or "; write a name such as Europe/Moscow or UTC"
        raise ValueError(f"{{value}} is not a known timezone{hint}") from None


def parse_cron(value: object) -> str:
    """Five fields as in Debian's cron, or six with seconds in front (https://github.com/cuu508/cronsim)."""
    if not isinstance(value, str):
        raise ValueError(f'{{value}} is not a cron expression; write "{CRON_FIELDS}", such as "*/5 * * * *"')
    fields = value.split()
    if len(fields) not in (5, 6):
        raise ValueError(
            f'{{value}} has {len(fields)} fields; write "{CRON_FIELDS}", or six with seconds in front'
        )
    try:
        next(CronSim(value, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise ValueError(
            f'the {field} field of {{value}} is not valid; write "{CRON_FIELDS}", such as "*/5 * * * *"'
        ) from None
    except StopIteration:
        raise ValueError("{value} never comes: no such day exists; correct the day or the month") from None
    except (ValueError, AssertionError, OverflowError):
        raise ValueError(f'{{value}} is not a cron expression; write "{CRON_FIELDS}"') from None
    return " ".join(fields)


def parse_user_ids(value: object) -> object:
    """A list as it is; one id, or text such as "111, 222" (from a variable), as a list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part for part in re.split(r"[\s,]+", value) if part]
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    return value


def parse_user_id(value: object) -> int:
    """A person's id: positive, below 2**52 (Bot API, User.id)."""
    if isinstance(value, str) and value.startswith("@"):
        raise ValueError("{value} is a name, which its owner can give away; write the numeric id (/whoami)")
    number = parse_whole(value, "a Telegram user id; write the numeric id (/whoami tells it)")
    if number < 0:
        raise ValueError("{value} is the id of a chat; write ids of persons, which are positive")
    if not 0 < number < 2**52:
        raise ValueError("{value} is not a Telegram user id; write the numeric id (/whoami tells it)")
    return number


def parse_chat(value: object) -> tuple[int, int | None] | None:
    """`-1001234567890` or `"-1001234567890:17"` as chat and topic. Topic 1 is General: no topic."""
    if value is None or value == "":
        return None
    how = 'write the numeric id, such as -1001234567890, or "-1001234567890:17" for a topic'
    if isinstance(value, str):
        if value.strip().startswith("@"):
            raise ValueError(f"{{value}} is a public name; {how}")
        match = re.fullmatch(r"\s*(-?[0-9]{1,16})(?:\s*:\s*([0-9]{1,10}))?\s*", value, re.ASCII)
        if match is None:
            raise ValueError(f"{{value}} is not a chat; {how}")
        chat = int(match.group(1))
        thread = int(match.group(2)) if match.group(2) is not None else None
    else:
        chat, thread = parse_whole(value, f"a chat; {how}"), None
    if chat == 0 or abs(chat) >= 2**52:
        raise ValueError(f"{{value}} is not a chat; {how}")
    if thread is not None and not 0 < thread < 2**31:
        raise ValueError(f"{{value}} names no topic behind its ':'; {how}")
    return chat, None if thread == 1 else thread


def parse_whole(value: object, what: str) -> int:
    """An int, or text of one. `what` ends the sentence "... is not"."""
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{{value}} is not {what}")
    return value


def parse_number(value: object) -> float:
    """A finite number, or text of one; never a bool."""
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value)
            if -1e308 < number < 1e308:
                return number
    except (ValueError, OverflowError):
        pass
    raise ValueError("{value} is not a number; write one such as 2 or 0.5")
