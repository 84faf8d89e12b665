"""The demonstration, as a newcomer runs it: every step in order, in time, and nothing left behind."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from dozor.language.names import Language
from dozor_market.demo.market import in_ton
from dozor_market.demo.words import choose_language, words
from tests.effort import SOAK, cases
from tests.house.sources import ROOT
from tests.system.process import Process
from tests.waiting import stretched

STORY = (
    r"1/6 Площадка открыта",
    r"Анна +0\.00 +50\.00",
    r"Всего +1250\.00",
    r"2/6 Дозор начинает работу",
    r"закрыто аукционов: 2",
    r"«Ночной кот»: Борис платит 120\.00, Анна получает 114\.00, площадка 6\.00",
    r"«Старый ключ»: не продан",
    r"Борис: перевод 100\.00 зачислен",
    r"3/6 Временный сбой",
    r"Ошибка в фоновой задаче ton_deposits \(попытка 1/5\): .*не работает ни один провайдер TON",
    r"Traceback \(most recent call last\)",
    r"Перезапуск задачи ton_deposits через [\d.]+ секунд\.\.\.",
    r"Запуск фоновой задачи: ton_deposits",
    r"Вера: перевод 150\.00 зачислен",
    r"Сообщений в чате нет",
    r"4/6 Серьёзный сбой",
    r"Ошибка в фоновой задаче auctions_checker \(попытка 3/5\): column \"ends_at\" does not exist",
    r"│ ⚠️ auctions_checker: 3 ошибки подряд",
    r"│ UndefinedColumnError: column \"ends_at\" does not exist",
    r"предзаказ «Портрет» просрочен, Глеб получает назад 120\.00, из залога Анны удержано 30\.00",
    r"попытка 5/5",
    r"Фоновая задача auctions_checker остановлена после 5 последовательных ошибок",
    r"│ 🛑 auctions_checker остановлена: 5 ошибок подряд",
    r"│ \[ 🔄 Перезапустить \]",
    r"Аукционов без расчёта: 3\. Их ставки, 470\.00 TON",
    r"5/6 Действует человек",
    r"\$ dozor status",
    r"auctions_checker +стоп +5/5",
    r"\$ dozor restart auctions_checker",
    r"Команда restart auctions_checker от cli:.*: done",
    r"│ ✅ auctions_checker снова работает",
    r"│ Перезапуск: командная строка",
    r"«Звёздная карта»: Глеб платит 210\.00",
    r"6/6 Деньги сошлись",
    r"Анна +50\.00 +580\.50 +530\.50",
    r"Площадка +0\.00 +59\.50 +59\.50",
    r"Всего +1250\.00 +1500\.00 +250\.00",
    r"ошибок нет, точность до нанотона",
    r"Готово за \d+ с",
    r"make run",
)

SPEED = cases(4, 1)
MORE = [("2/6", signal.SIGTERM), ("ошибок нет", signal.SIGINT)] if SOAK else []


@pytest.fixture
def folder(short_dir: Path, request: pytest.FixtureRequest) -> Path:
    """A short path: the demo's server keeps its socket below it."""
    path = short_dir / f"demo-{len(request.node.name)}-{time.monotonic_ns() % 100_000}"
    path.mkdir()
    return path


class Start(Protocol):
    def __call__(self, *options: str, code: str = "", **environment: str) -> Process: ...


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """`dozor demo`, or `code` in its place, with its temporary files in `folder`. It ends with the test."""
    started: list[Process] = []

    def begin(*options: str, code: str = "", **environment: str) -> Process:
        program = ("-c", code) if code else ("-m", "dozor")
        output = folder.with_name(f"{folder.name}.txt")
        variables = {"PYTHONUTF8": "1", "TMPDIR": str(folder), **environment}
        process = Process(
            [sys.executable, *program, "demo", *options], cwd=ROOT, output=output, env=variables
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()


def left_behind(folder: Path) -> list[str]:
    """Files in `folder`, and servers that work there."""
    servers = [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or [])
    ]
    return [path.name for path in folder.iterdir()] + servers


async def test_the_whole_story_is_told_in_order_within_a_minute(folder: Path, start: Start) -> None:
    began = time.monotonic()
    process = start("--speed", str(SPEED), LC_ALL="ru_RU.UTF-8")
    assert await process.ends(within=110) == 0, process.text
    printed = process.text
    at = 0
    told = re.sub(r"\n▌ ", " ", printed)  # however wide the terminal is
    for step in STORY:
        found = re.compile(step).search(told, at)
        assert found, f"missing, or out of order: {step}\n{printed}"
        at = found.end()
    assert printed.count("Traceback (most recent") == 1, "one is shown on purpose"
    assert time.monotonic() - began < stretched(60)
    assert not left_behind(folder)


@pytest.mark.parametrize("language", list(Language))
def test_what_follows_needs_no_checkout_where_only_the_package_is(language: Language) -> None:
    steps = words(language).next_steps_installed
    assert [command for command, _ in steps] == ["{docs}/writing-checkers.md", "dozor check", "dozor run"]
    assert all(text and "make " not in text and "docs/" not in text for _, text in steps)


@pytest.mark.parametrize(
    ("last_line", "number"),
    [
        ("Деньги и чекеры", signal.SIGINT),
        ("попытка 2/5", signal.SIGHUP),
        *MORE,
    ],
)
async def test_interrupted_at_any_step_it_cleans_up(
    folder: Path, start: Start, last_line: str, number: signal.Signals
) -> None:
    """The first of these lines comes while PostgreSQL is still starting."""
    process = start("--language", "ru", "--speed", "10")
    await process.says(last_line, within=60)
    process.signal(number)
    process.signal(number)  # people press more than once
    assert await process.ends(within=60) == 130, process.text
    printed = process.text.partition(last_line)[2]
    assert "Показ прерван, всё убрано." in printed
    assert "Traceback" not in printed
    assert not left_behind(folder)


@pytest.mark.parametrize(
    ("sabotage", "line"),
    [
        (
            "dozor_market.demo.story.PATIENCE = 0.0",
            "dozor: the demo: the settlement of the auctions has not come",
        ),
        (
            "dozor_market.demo.stage.DEPOSIT = 10",
            "dozor: the demo: bid of 80000000000 for auction 1: not enough",
        ),
        ("tempfile.tempdir = '/proc/absent'", "dozor: the demo: no temporary folder can be made"),
    ],
)
async def test_a_story_that_does_not_happen_ends_with_one_clear_line(
    folder: Path, start: Start, sabotage: str, line: str
) -> None:
    code = f"import tempfile, dozor.cli, dozor_market.demo.stage; {sabotage}; dozor.cli.main()"
    process = start("--speed", "10", code=code)
    assert await process.ends(within=60) == 1, process.text
    printed = process.text
    assert printed.splitlines()[-1].startswith(line)
    assert "Traceback" not in printed
    assert not left_behind(folder)


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, Language.EN),
        ({"LANG": "C"}, Language.EN),
        ({"LANG": "C.UTF-8"}, Language.EN),
        ({"LANG": "ru_RU.UTF-8"}, Language.RU),
        ({"LANG": "en_US.UTF-8"}, Language.EN),
        ({"LANG": "de_DE"}, Language.EN),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "ru_RU"}, Language.RU),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "en_GB"}, Language.EN),
    ],
)
def test_the_language_is_that_of_the_locale_and_english_without_one(
    environment: dict[str, str], language: Language
) -> None:
    assert choose_language(environment, "utf-8") is language
    assert choose_language(environment, "ascii") is Language.EN


@pytest.mark.parametrize(
    ("nanotons", "shown"),
    [
        (0, "0.00"),
        (114 * 10**9, "114.00"),
        (85_500_000_000, "85.50"),
        (1, "0.000000001"),
        (-260 * 10**9, "-260.00"),
    ],
)
def test_amounts_are_shown_to_the_last_nanoton(nanotons: int, shown: str) -> None:
    assert in_ton(nanotons) == shown
