"""The words of the status page, in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from dozor.config.tasks import Continuous, Cron, Every, Schedule
from dozor.language.names import Language
from dozor.supervision.core.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """`states` by value. Short units follow a number. `{…}` is filled in."""

    title: str
    states: dict[str, str]
    ready: str
    not_ready: str
    runner: str
    up: str
    tasks: str
    no_tasks: str
    filter: str
    more: str
    last_success: str
    next_run: str
    running: str
    never: str
    now: str
    ago: str
    ahead: str
    in_a_row: str
    by: str
    backlog: str
    where: str
    incidents: str
    no_incidents: str
    acknowledged: str
    queue: str
    queue_empty: str
    attempts: str
    oldest: str
    bars: str
    bar_ok: str
    bar_failed: str
    bar_none: str
    live: str
    lost: str
    read_only: str
    sign_in: str
    sign_out: str
    sign_in_label: str
    cancel: str
    restart: str
    pause: str
    resume: str
    run_now: str
    done: str
    already: str
    refused: str
    denied: str
    failed: str
    other_language: str
    every: str
    continuous: str
    seconds: str
    minutes: str
    hours: str
    days: str


_RU = Texts(
    title="Дозор",
    states={
        "waiting": "ждёт", "running": "работает", "backoff": "повтор", "stopped": "остановлена",
        "paused": "пауза", "held": "удержана",
    },
    ready="готов",
    not_ready="не готов",
    runner="Дозорный",
    up="работает",
    tasks="Задачи",
    no_tasks="Задач нет",
    filter="Найти задачу",
    more="Показано {shown} из {total}: остальные найдёт поиск",
    last_success="успех",
    next_run="дальше",
    running="идёт",
    never="не было",
    now="сейчас",
    ago="{time} назад",
    ahead="через {time}",
    in_a_row="ошибок подряд",
    by="кем",
    backlog="в очереди",
    where="где",
    incidents="Инциденты",
    no_incidents="Открытых инцидентов нет",
    acknowledged="принят: {by}",
    queue="Оповещения в очереди",
    queue_empty="Все доставлены",
    attempts="попыток: {count}",
    oldest="старейшее ждёт",
    bars="Последние 90 отрезков, каждый {time}",
    bar_ok="без ошибок",
    bar_failed="были ошибки",
    bar_none="не запускалась",
    live="на связи",
    lost="связь потеряна",
    read_only="только просмотр",
    sign_in="Войти",
    sign_out="Выйти",
    sign_in_label="Токен (web.token)",
    cancel="Отмена",
    restart="Перезапустить",
    pause="Пауза",
    resume="Продолжить",
    run_now="Запустить",
    done="{name}: готово",
    already="{name}: и так уже",
    refused="{name}: отказано ({reason})",
    denied="Токен не подходит",
    failed="Не получилось: дозорный не отвечает",
    other_language="English",
    every="каждые {time}",
    continuous="без перерыва",
    seconds="с",
    minutes="мин",
    hours="ч",
    days="д",
)  # fmt: skip
_EN = Texts(
    title="Dozor",
    states={state.value: state.value for state in State},
    ready="ready",
    not_ready="not ready",
    runner="Runner",
    up="up",
    tasks="Tasks",
    no_tasks="No tasks",
    filter="Find a task",
    more="{shown} of {total} shown: the search finds the others",
    last_success="success",
    next_run="next",
    running="running",
    never="never",
    now="now",
    ago="{time} ago",
    ahead="in {time}",
    in_a_row="failures in a row",
    by="by",
    backlog="backlog",
    where="where",
    incidents="Incidents",
    no_incidents="No open incidents",
    acknowledged="acknowledged by {by}",
    queue="Messages owed",
    queue_empty="All delivered",
    attempts="{count} attempts",
    oldest="the oldest waits",
    bars="The last 90 periods of {time} each",
    bar_ok="no failure",
    bar_failed="failures",
    bar_none="no run",
    live="live",
    lost="connection lost",
    read_only="read only",
    sign_in="Sign in",
    sign_out="Sign out",
    sign_in_label="Token (web.token)",
    cancel="Cancel",
    restart="Restart",
    pause="Pause",
    resume="Resume",
    run_now="Run now",
    done="{name}: done",
    already="{name}: it is so already",
    refused="{name}: refused ({reason})",
    denied="This is not the token",
    failed="It did not work: no answer from the runner",
    other_language="Русский",
    every="every {time}",
    continuous="continuous",
    seconds="s",
    minutes="min",
    hours="h",
    days="d",
)


def texts_of(language: Language) -> Texts:
    return _RU if language is Language.RU else _EN


def span(texts: Texts, seconds: float) -> str:
    """The largest unit alone, as page.js has it too."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, texts.days), (3600, texts.hours), (60, texts.minutes)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} {texts.seconds}"


def exactly(texts: Texts, seconds: float) -> str:
    """All units that are not 0: "1 min 30 s", "0.25 s"."""
    if seconds < 60 and seconds != int(seconds):
        return f"{seconds:g} {texts.seconds}"
    parts, rest = [], round(seconds)
    for size, unit in ((86400, texts.days), (3600, texts.hours), (60, texts.minutes), (1, texts.seconds)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def schedule_text(texts: Texts, schedule: Schedule) -> str:
    """When a task runs."""
    match schedule:
        case Every(seconds):
            return texts.every.format(time=exactly(texts, seconds))
        case Cron():
            return str(schedule)
        case Continuous():
            return texts.continuous
        case _:
            assert_never(schedule)
