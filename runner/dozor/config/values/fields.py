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

from dozor.language import msg

_CRON_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_CRON_SPANS = (60, 60, 24, 31, 12, 7)
"""Values of each field, from the seconds on."""
_TASK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FUNCTION = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)?")


def cron_fields() -> str:
    return msg("config-cron-fields")


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no known word is like `word`."""
    return _did_you_mean(_nearest(word, known))


def _did_you_mean(option: str | None) -> str:
    return "" if option is None else msg("config-did-you-mean", option=option)


def _nearest(word: str, known: Iterable[str]) -> str | None:
    options = {option.lower(): option for option in known}
    found = difflib.get_close_matches(word.lower(), options, n=1, cutoff=0.6)
    return options[found[0]] if found else None


def parse_task_name(value: object) -> str:
    """At most 40 characters: a button's callback_data is at most 64 bytes (Bot API)."""
    if not isinstance(value, str) or not _TASK_NAME.fullmatch(value):
        raise ValueError(msg("config-task-name"))
    if value.startswith("-"):
        raise ValueError(msg("config-task-name-option"))
    if value == "all":
        raise ValueError(msg("config-task-named-all"))
    return value


def parse_reference(value: object) -> str:
    """`module:function` or `module:Class.method`; whether it exists is another question."""
    if not isinstance(value, str):
        raise ValueError(msg("config-not-function", value="{value}"))
    text = value.strip()
    module, colon, function = text.partition(":")
    if module.endswith(".py") or "/" in module:
        guess = module.removesuffix(".py").strip("./").replace("/", ".")
        raise ValueError(
            msg("config-run-is-path", value="{value}", guess=guess, function=function or "function")
        )
    if not colon and "." in text and _MODULE.fullmatch(text):
        module, _, function = text.rpartition(".")
        raise ValueError(msg("config-run-no-colon", value="{value}", module=module, function=function))
    if not _MODULE.fullmatch(module) or not _FUNCTION.fullmatch(function):
        raise ValueError(msg("config-not-function-or-method", value="{value}"))
    return text


def parse_variable_names(value: object) -> tuple[str, ...]:
    """A list of names of environment variables."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ValueError(msg("config-not-variables", value="{value}"))
    for name in value:
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise ValueError(msg("config-not-variable", name=repr(name)))
    return tuple(value)


def parse_timezone(value: object) -> ZoneInfo:
    """A name of the IANA database."""
    if isinstance(value, ZoneInfo):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(msg("config-not-timezone", value="{value}"))
    try:
        return ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        names = zoneinfo.available_timezones()
        if not names:
            raise ValueError(msg("config-no-timezones")) from None
        cities = {name.rpartition("/")[2]: name for name in sorted(names)}
        hint = nearest(value, names)
        if not hint and (city := _nearest(value.rpartition("/")[2], cities)):
            hint = _did_you_mean(cities[city])
        hint = hint or msg("config-write-timezone")
        raise ValueError(msg("config-unknown-timezone", value="{value}", hint=hint)) from None


def parse_cron(value: object) -> str:
    """Five fields as in Debian's cron, or six with seconds in front (https://github.com/cuu508/cronsim)."""
    if not isinstance(value, str):
        raise ValueError(msg("config-not-cron", value="{value}", form=cron_fields()))
    fields = value.split()
    if len(fields) not in (5, 6):
        raise ValueError(msg("config-cron-count", value="{value}", count=len(fields), form=cron_fields()))
    for position, field in enumerate(fields, start=6 - len(fields)):
        for part in field.split(","):
            _check_step(part, position)
    try:
        next(CronSim(value, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        field = _cron_field(str(error).removeprefix("Bad "))
        raise ValueError(msg("config-cron-field", field=field, value="{value}", form=cron_fields())) from None
    except StopIteration:
        raise ValueError(msg("config-cron-never", value="{value}")) from None
    except (ValueError, AssertionError, OverflowError):
        raise ValueError(msg("config-not-cron-at-all", value="{value}", form=cron_fields())) from None
    return " ".join(fields)


def _check_step(part: str, position: int) -> None:
    """Refuse `*/90`: beyond the values of its field or range a step leaves only the first of them."""
    values, slash, step = part.partition("/")
    if not slash or not step.isdecimal():
        return  # cronsim says what is wrong with it
    first, dash, last = values.partition("-")
    span = _CRON_SPANS[position]
    if dash and first.isdecimal() and last.isdecimal():
        span = int(last) - int(first) + 1
    if int(step[:9]) > max(span, 1):
        raise ValueError(msg("config-cron-step", step=step[:20], part=part[:40], count=span))


def _cron_field(name: str) -> str:
    """A field as `cron_fields` calls it. `name` is cronsim's."""
    ours = cron_fields().split()
    return ours[_CRON_FIELDS.index(name)] if name in _CRON_FIELDS else name


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
        raise ValueError(msg("config-user-name", value="{value}"))
    number = parse_whole(value, msg("config-not-user-id", value="{value}"))
    if number < 0:
        raise ValueError(msg("config-chat-as-user", value="{value}"))
    if not 0 < number < 2**52:
        raise ValueError(msg("config-not-user-id", value="{value}"))
    return number


def parse_chat(value: object) -> tuple[int, int | None] | None:
    """`-1001234567890` or `"-1001234567890:17"` as chat and topic. Topic 1 is General: no topic."""
    if value is None or value == "":
        return None
    how = msg("config-chat-forms")
    if isinstance(value, str):
        if value.strip().startswith("@"):
            raise ValueError(msg("config-chat-name", value="{value}", form=how))
        match = re.fullmatch(r"\s*(-?[0-9]{1,16})(?:\s*:\s*([0-9]{1,10}))?\s*", value, re.ASCII)
        if match is None:
            raise ValueError(msg("config-not-chat", value="{value}", form=how))
        chat = int(match.group(1))
        thread = int(match.group(2)) if match.group(2) is not None else None
    else:
        chat, thread = parse_whole(value, msg("config-not-chat", value="{value}", form=how)), None
    if chat == 0 or abs(chat) >= 2**52:
        raise ValueError(msg("config-not-chat", value="{value}", form=how))
    if thread is not None and not 0 < thread < 2**31:
        raise ValueError(msg("config-chat-no-topic", value="{value}", form=how))
    return chat, None if thread == 1 else thread


def parse_whole(value: object, refusal: str) -> int:
    """An int, or text of one. `refusal` is the sentence for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(refusal)
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
    raise ValueError(msg("config-not-number", value="{value}"))
