"""The narrator's words, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dozor.language.names import Language
from dozor.language.process import from_environment
from dozor_market.demo.market import Lot, Presale


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Texts with {gaps}; each is a paragraph the screen wraps."""

    title: str
    what: str
    legend: str
    seller: str
    buyers: tuple[str, str, str]
    lots_first: tuple[Lot, ...]
    lots_outage: tuple[Lot, ...]
    presale: Presale

    open_heading: str
    open_text: str
    watch_heading: str
    watch_text: str
    sold: str
    unsold: str
    credited: str
    glitch_heading: str
    glitch_text: str
    glitch_seen: str
    glitch_over: str
    outage_heading: str
    outage_text: str
    outage_alert: str
    outage_others: str
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
    """In a checkout."""
    next_steps_installed: tuple[tuple[str, str], ...]
    """Where only the package is: no Makefile and no docs. {docs}: the address of the documentation."""


def _lots(
    buyers: tuple[str, str, str], titles: tuple[str, str, str, str, str]
) -> tuple[tuple[Lot, ...], tuple[Lot, ...]]:
    """What is sold, in the order of the story: who bids what is the same in every language."""
    first, second, third = buyers
    return (
        (
            Lot(titles[0], ((first, 80), (second, 95), (first, 120))),
            Lot(titles[1], ((third, 40),), reserve=60),
        ),
        (
            Lot(titles[2], ((first, 150), (third, 210))),
            Lot(titles[3], ((second, 160),)),
            Lot(titles[4], ((first, 55), (second, 100))),
        ),
    )


_BUYERS_RU = ("Борис", "Вера", "Глеб")
_LOTS_RU = _lots(_BUYERS_RU, ("Ночной кот", "Старый ключ", "Звёздная карта", "Часы с боем", "Письмо"))
_RU = Words(
    title="Дозор: показ на выдуманной торговой площадке",
    what=(
        "Деньги и проверки настоящие, в своём PostgreSQL во временной папке; сеть TON подставная, сбои "
        "устроены нарочно. Около {seconds} секунд. Ctrl-C в любой момент всё остановит и уберёт."
    ),
    legend=(
        "Здесь говорит рассказчик. Строки с датой: журнал Дозора. В рамке: сообщение, как в чате Telegram."
    ),
    seller="Анна",
    buyers=_BUYERS_RU,
    lots_first=_LOTS_RU[0],
    lots_outage=_LOTS_RU[1],
    presale=Presale("Портрет", "Глеб", price=120, penalty=30),
    open_heading="Площадка открыта",
    open_text="Анна продаёт и внесла залог, остальные пришли с деньгами. В TON:",
    watch_heading="Дозор заступает",
    watch_text=(
        "Три проверки: auctions_checker рассчитывает закончившиеся аукционы, presale_checker возвращает "
        "деньги за просроченные предзаказы, ton_deposits зачисляет переводы. Аукционы «{first}» и "
        "«{second}» вот-вот закончатся, {buyer} переводит ещё {amount} TON."
    ),
    sold="«{title}»: {winner} платит {price}, Анна получает {net}, площадка {fee}.",
    unsold="«{title}»: не продан, цена ниже минимальной; ставка вернулась.",
    credited="{buyer}: перевод {amount} зачислен, счёт назван в комментарии.",
    glitch_heading="Случайный сбой",
    glitch_text=(
        "{buyer} переводит {amount} TON, а провайдер TON отвечает обрывком. Ничего не зачислено наугад; "
        "ошибка уходит в журнал с полным traceback:"
    ),
    glitch_seen="Одна ошибка: попытка 1 из 5. Через {delay} с Дозор перезапустит проверку сам.",
    glitch_over="Зачислено один раз. В чате тихо: из-за одной ошибки людей не будят.",
    outage_heading="Сбой всерьёз",
    outage_text=(
        "Чужая миграция переименовала столбец market.auctions.ends_at, а три аукциона как раз "
        "заканчиваются. Каждая ошибка пишется с traceback, но здесь дальше без них."
    ),
    outage_alert="Три ошибки подряд: дежурный уже знает. Дозор пробует дальше.",
    outage_others=(
        "Соседям это не мешает: предзаказ «{title}» просрочен, {buyer} получает назад {price}, из залога "
        "Анны удержано {penalty}."
    ),
    outage_stop="Пять из пяти: критическая остановка. Дальше решает человек.",
    outage_money="Аукционов без расчёта: {count}. Их ставки, {held} TON, лежат в базе: ничего не пропало.",
    person_heading="Приходит человек",
    person_mended="Столбец починен. Что с задачами?",
    person_door="Перезапуск командой; кнопка под сообщением делает то же и через ту же дверь:",
    person_recovered="Проверка догнала пропущенное:",
    money_heading="Деньги сошлись",
    money_text="Было и стало, в TON; прибавилось то, что пришло переводами:",
    money_audit="Двойная запись проверена: движений {movements}, ошибок нет, до нанотона.",
    columns_now=("", "свободно", "отложено"),
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
    next_steps_installed=(
        ("{docs}/writing-checkers.md", "своя проверка: десять строк"),
        ("dozor check", "проверить config.yaml в этой папке"),
        ("dozor run", "Дозор с настройками из config.yaml"),
    ),
)

_BUYERS_EN = ("Boris", "Vera", "Gleb")
_LOTS_EN = _lots(_BUYERS_EN, ("Night Cat", "Old Key", "Star Map", "Striking Clock", "Letter"))
_EN = Words(
    title="Dozor: a demonstration on a made-up marketplace",
    what=(
        "Money and checkers are real, in a PostgreSQL of their own in a temporary folder; the TON network is "
        "a stand-in, the faults are injected on purpose. About {seconds} seconds. Ctrl-C at any moment stops "
        "it and cleans up."
    ),
    legend=(
        "This is the narrator. Lines with a date: Dozor's log. In a frame: a message, as the chat shows it."
    ),
    seller="Anna",
    buyers=_BUYERS_EN,
    lots_first=_LOTS_EN[0],
    lots_outage=_LOTS_EN[1],
    presale=Presale("Portrait", "Gleb", price=120, penalty=30),
    open_heading="The marketplace opens",
    open_text="Anna sells and has pledged a collateral, the others come with money. In TON:",
    watch_heading="Dozor goes on watch",
    watch_text=(
        "Three checkers: auctions_checker settles the auctions that have ended, presale_checker refunds "
        "overdue presales, ton_deposits credits transfers. The auctions “{first}” and “{second}” are about "
        "to end, and {buyer} sends {amount} TON more."
    ),
    sold="“{title}”: {winner} pays {price}, Anna gets {net}, the house {fee}.",
    unsold="“{title}”: not sold, below its reserve; the bid is released.",
    credited="{buyer}: the transfer of {amount} is credited, its comment names the invoice.",
    glitch_heading="A passing fault",
    glitch_text=(
        "{buyer} sends {amount} TON, and the TON provider answers with half an answer. Nothing is credited "
        "on a guess; the error goes to the log with its whole traceback:"
    ),
    glitch_seen="One error: attempt 1 of 5. In {delay} s Dozor restarts the checker by itself.",
    glitch_over="Credited once. The chat is quiet: nobody is woken for one error.",
    outage_heading="A serious fault",
    outage_text=(
        "Somebody's migration has renamed the column market.auctions.ends_at, just as three auctions are "
        "ending. Every error is logged with its traceback; from here on they are left out."
    ),
    outage_alert="Three errors in a row: the person on call knows. Dozor tries on.",
    outage_others=(
        "The others do not mind: the presale “{title}” is overdue, {buyer} gets {price} back, and {penalty} "
        "is taken from Anna's collateral."
    ),
    outage_stop="Five of five: a critical stop. From here on a person decides.",
    outage_money="Not settled: {count} auctions. Their bids, {held} TON, are kept: nothing is lost.",
    person_heading="A person comes",
    person_mended="The column is mended. How are the tasks?",
    person_door="A restart by command; the button under the message does the same, through the same door:",
    person_recovered="The checker has caught up:",
    money_heading="The money adds up",
    money_text="Before and after, in TON; what was added came in by transfer:",
    money_audit="The double entry is audited: {movements} movements, no fault, to the nanoton.",
    columns_now=("", "free", "set aside"),
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
    next_steps_installed=(
        ("{docs}/writing-checkers.md", "a checker of your own: ten lines"),
        ("dozor check", "is the config.yaml of this folder right?"),
        ("dozor run", "Dozor with the settings of config.yaml"),
    ),
)


def words(language: Language) -> Words:
    """The words of a language."""
    return _RU if language is Language.RU else _EN


def choose_language(environment: Mapping[str, str], encoding: str) -> Language:
    """As `language: auto` of a configuration; English where `encoding` has no Russian letters."""
    try:
        _RU.title.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Language.EN
    return from_environment(environment)
