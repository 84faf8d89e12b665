"""The narrator's words, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.demo.market import Lot
from runner.language.names import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Texts with {gaps}; each is a paragraph the screen wraps."""

    title: str
    what: str
    legend: str
    seller: str
    buyers: tuple[str, str, str]
    lots_first: tuple[Lot, ...]
    lots_glitch: tuple[Lot, ...]
    lots_outage: tuple[Lot, ...]

    open_heading: str
    open_text: str
    watch_heading: str
    watch_text: str
    sold: str
    unsold: str
    glitch_heading: str
    glitch_text: str
    glitch_seen: str
    glitch_over: str
    outage_heading: str
    outage_text: str
    outage_alert: str
    outage_stop: str
    outage_money: str
    person_heading: str
    person_mended: str
    person_door: str
    person_recovered: str
    money_heading: str
    money_text: str
    money_audit: str

    columns_now: tuple[str, str, str]
    columns_then: tuple[str, str, str, str]
    house: str
    total: str

    leaving: str
    interrupted: str
    done: str
    next_steps: tuple[tuple[str, str], ...]


def _lots(
    buyers: tuple[str, str, str], titles: tuple[str, str, str, str, str, str]
) -> tuple[tuple[Lot, ...], tuple[Lot, ...], tuple[Lot, ...]]:
    """What is sold, in the order of the story: who bids what is the same in every language."""
    first, second, third = buyers
    return (
        (
            Lot(titles[0], ((first, 80), (second, 95), (first, 120))),
            Lot(titles[1], ((third, 40),), reserve=60),
        ),
        (Lot(titles[2], ((second, 75), (third, 90))),),
        (
            Lot(titles[3], ((first, 150), (third, 210))),
            Lot(titles[4], ((second, 160),)),
            Lot(titles[5], ((first, 55), (second, 100))),
        ),
    )


_BUYERS_RU = ("Борис", "Вера", "Глеб")
_LOTS_RU = _lots(
    _BUYERS_RU, ("Ночной кот", "Старый ключ", "Имя @dozor", "Звёздная карта", "Часы с боем", "Письмо")
)
_RU = Words(
    title="Дозор: показ на выдуманной торговой площадке",
    what=(
        "Аукционы, деньги и проверки настоящие, в своём PostgreSQL во временной папке; сбои устроены "
        "нарочно. Около {seconds} секунд. Ctrl-C в любой момент всё остановит и уберёт."
    ),
    legend=(
        "Здесь говорит рассказчик. Строки с датой: журнал Дозора. В рамке: сообщение, как в чате Telegram."
    ),
    seller="Анна",
    buyers=_BUYERS_RU,
    lots_first=_LOTS_RU[0],
    lots_glitch=_LOTS_RU[1],
    lots_outage=_LOTS_RU[2],
    open_heading="Площадка открыта",
    open_text="Анна продаёт, остальные внесли деньги и торгуются. В TON:",
    watch_heading="Дозор заступает",
    watch_text=(
        "Два аукциона вот-вот закончатся. Дозор вызывает проверку auctions_checker: она находит "
        "закончившиеся аукционы и рассчитывает каждый ровно один раз."
    ),
    sold="«{title}»: {winner} платит {price}, Анна получает {net}, площадка {fee}.",
    unsold="«{title}»: не продан, цена ниже минимальной; ставка вернулась.",
    glitch_heading="Случайный сбой",
    glitch_text=(
        "Чужая миграция переименовала столбец market.auctions.ends_at, о котором проверка знает. "
        "Ошибка уходит в журнал с полным traceback:"
    ),
    glitch_seen=(
        "Одна ошибка: попытка 1 из 5. Столбец вернули, через {delay} с Дозор перезапустит проверку сам."
    ),
    glitch_over="Работает. В чате пусто: из-за одной ошибки людей не будят.",
    outage_heading="Сбой всерьёз",
    outage_text=(
        "Столбец переименован снова, и надолго, а три аукциона как раз заканчиваются. "
        "(Traceback те же, дальше без них.)"
    ),
    outage_alert="Три ошибки подряд: дежурный уже знает. Дозор пробует дальше.",
    outage_stop="Пять из пяти: критическая остановка. Дальше решает человек.",
    outage_money="Аукционов без расчёта: {count}. Их ставки, {held} TON, лежат в базе: ничего не пропало.",
    person_heading="Приходит человек",
    person_mended="Столбец починен. Что с задачами?",
    person_door="Перезапуск командой; кнопка под сообщением делает то же и через ту же дверь:",
    person_recovered="Проверка догнала пропущенное:",
    money_heading="Деньги сошлись",
    money_text="Было и стало, в TON:",
    money_audit="Двойная запись проверена: движений {movements}, ошибок нет, до нанотона.",
    columns_now=("", "свободно", "за ставками"),
    columns_then=("", "было", "стало", "разница"),
    house="Площадка",
    total="Всего",
    leaving="Убираю за собой…",
    interrupted="Показ прерван, всё убрано.",
    done=(
        "Готово за {seconds} с: ошибка, перезапуск, оповещение, критическая остановка, команда, "
        "восстановление. PostgreSQL остановлен, временная папка удалена."
    ),
    next_steps=(
        ("make run", "Дозор с настройками из config.yaml"),
        ("docs/writing-checkers.md", "своя проверка: десять строк"),
        ("BOT_TOKEN=… ALERT_CHAT=… ADMINS=… make run", "то же с Telegram"),
    ),
)

_BUYERS_EN = ("Boris", "Vera", "Gleb")
_LOTS_EN = _lots(_BUYERS_EN, ("Night Cat", "Old Key", "Name @dozor", "Star Map", "Striking Clock", "Letter"))
_EN = Words(
    title="Dozor: a demonstration on a made-up marketplace",
    what=(
        "Auctions, money and checkers are real, in a PostgreSQL of their own in a temporary folder; "
        "the faults are injected on purpose. About {seconds} seconds. Ctrl-C at any moment stops it and "
        "cleans up."
    ),
    legend=(
        "This is the narrator. Lines with a date: Dozor's log. In a frame: a message, as the chat shows it."
    ),
    seller="Anna",
    buyers=_BUYERS_EN,
    lots_first=_LOTS_EN[0],
    lots_glitch=_LOTS_EN[1],
    lots_outage=_LOTS_EN[2],
    open_heading="The marketplace opens",
    open_text="Anna sells, the others have paid in and bid. In TON:",
    watch_heading="Dozor goes on watch",
    watch_text=(
        "Two auctions are about to end. Dozor calls auctions_checker: it finds the auctions that have ended "
        "and settles each exactly once."
    ),
    sold="“{title}”: {winner} pays {price}, Anna gets {net}, the house {fee}.",
    unsold="“{title}”: not sold, below its reserve; the bid is released.",
    glitch_heading="A passing fault",
    glitch_text=(
        "Somebody's migration has renamed the column market.auctions.ends_at, which the checker reads. "
        "The error goes to the log with its whole traceback:"
    ),
    glitch_seen=(
        "One error: attempt 1 of 5. The column is back; in {delay} s Dozor restarts the checker by itself."
    ),
    glitch_over="It works. The chat is empty: nobody is woken for one error.",
    outage_heading="A serious fault",
    outage_text=(
        "The column is renamed again, for longer, just as three auctions are ending. "
        "(The tracebacks are the same; they are left out from here on.)"
    ),
    outage_alert="Three errors in a row: the person on call knows. Dozor tries on.",
    outage_stop="Five of five: a critical stop. From here on a person decides.",
    outage_money="Not settled: {count} auctions. Their bids, {held} TON, are kept: nothing is lost.",
    person_heading="A person comes",
    person_mended="The column is mended. How are the tasks?",
    person_door="A restart by command; the button under the message does the same, through the same door:",
    person_recovered="The checker has caught up:",
    money_heading="The money adds up",
    money_text="Before and after, in TON:",
    money_audit="The double entry is audited: {movements} movements, no fault, to the nanoton.",
    columns_now=("", "free", "for bids"),
    columns_then=("", "before", "after", "difference"),
    house="House",
    total="Total",
    leaving="Cleaning up…",
    interrupted="Interrupted; everything is cleaned up.",
    done=(
        "Done in {seconds} s: an error, a restart, an alert, a critical stop, a command, a recovery. "
        "PostgreSQL is stopped, the temporary folder is gone."
    ),
    next_steps=(
        ("make run", "Dozor with the settings of config.yaml"),
        ("docs/writing-checkers.md", "a checker of your own: ten lines"),
        ("BOT_TOKEN=… ALERT_CHAT=… ADMINS=… make run", "the same with Telegram"),
    ),
)


def words(language: Language) -> Words:
    """The words of a language."""
    return _RU if language is Language.RU else _EN


def choose_language(environment: Mapping[str, str]) -> Language:
    """The language of LC_ALL, LC_MESSAGES or LANG, as POSIX ranks them: Russian, or English for any other.

    Russian as well where no language is said ("C", "POSIX", unset).
    """
    said = next(filter(None, (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    locale = said.partition(".")[0].lower()
    if locale in ("", "c", "posix") or locale.startswith("ru"):
        return Language.RU
    return Language.EN
