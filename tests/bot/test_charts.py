"""Charts: what is counted, the caption, and pictures for every kind of task."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot as plt

from dozor.control.queries.statistics import Statistics, read_statistics
from dozor.control.queries.status import TaskStatus, read_status
from dozor.extras import Extra
from dozor.language import Language, Translator
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor_bot.charts import painter
from dozor_bot.charts.draw import draw
from dozor_bot.charts.painter import ChartError, paint
from dozor_bot.handlers import chart
from dozor_bot.views.chart import PERIODS, Period, chart_caption, chart_order
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, ZONE, Running, build
from tests.bot.executor import Executor
from tests.bot.scenery import RUNS_SQL
from tests.waiting import stretched

INCIDENT_SQL = """
INSERT INTO dozor.incidents (id, task, kind, severity, state, fingerprint, summary, opened_at, updated_at,
    resolved_at)
VALUES ($1, 't', 'critical_stop', 'critical', 'open', 'f', 's', now() - make_interval(secs => $2), now(),
        now() - make_interval(secs => $3::float8))
"""


async def _run(pool: Pool, ago: float, outcome: str, seconds: float, *, runs: int = 1, longest: float = 0.0,
               attempt: int = 1) -> None:  # fmt: skip
    await pool.execute(
        RUNS_SQL, f"r{random.random()}", "t", ago, outcome, runs, seconds, longest or seconds, attempt,
        None, None, None,
    )  # fmt: skip


async def _read(pool: Pool, period: Period) -> tuple[TaskStatus, Statistics]:
    async with pool.acquire() as connection:
        report = await read_status(connection, "t")
        return report.tasks[0], await read_statistics(connection, "t", period.seconds, period.portions)


async def test_runs_are_counted_in_portions_and_stretches_by_their_weight(
    pool: Pool, executor: Executor
) -> None:
    await executor.add("t", State.WAITING)
    # 99 runs of 10 ms and one of 5 s, as one row; a failure of 2 s; one cut off, which is neither.
    await _run(pool, 60, "succeeded", 99 * 0.01 + 5, runs=100, longest=5)
    await _run(pool, 7200, "failed", 2, attempt=3)
    await _run(pool, 60, "cancelled", 100)
    await _run(pool, 90_000, "failed", 9, attempt=9)
    _, day = await _read(pool, PERIODS["24h"])
    assert day.whole is not None
    assert (day.whole.succeeded, day.whole.failed, day.whole.streak) == (100, 1, 3)
    assert day.whole.p50 == pytest.approx(0.01)
    assert day.whole.p95 == pytest.approx(0.01)
    assert [(portion.succeeded, portion.failed, portion.p95) for portion in day.portions] == [
        (0, 1, 2.0),
        (100, 0, pytest.approx(0.01)),
    ]
    _, week = await _read(pool, PERIODS["7d"])
    assert week.whole is not None
    assert week.whole.streak == 9


@pytest.mark.parametrize(
    ("good", "bad", "share"),
    [(10_000, 1, "99,9%"), (1, 10_000, "0,1%"), (3, 1, "75%"), (5, 0, "100%"), (0, 5, "0%"), (2, 1, "66,7%")],
)
async def test_a_share_is_never_rounded_to_a_lie(
    pool: Pool, executor: Executor, good: int, bad: int, share: str
) -> None:
    await executor.add("t", State.WAITING)
    if good:
        await _run(pool, 60, "succeeded", float(good), runs=good, longest=1.0)
    for number in range(min(bad, 1)):
        await _run(pool, 120, "failed", float(bad), runs=bad, longest=1.0, attempt=number + 1)
    task, day = await _read(pool, PERIODS["24h"])
    order = chart_order(task, day, PERIODS["24h"], Translator("ru"), ZONE)
    assert order["words"]["share"] == share


def drawn(chart: dict[str, Any]) -> bytes:
    """As `paint`, but in this process, which imports the library once for all pictures."""
    try:
        return draw(json.loads(json.dumps(chart)))
    finally:
        plt.close("all")


@pytest.mark.parametrize(
    ("period", "language"), [("24h", Language.RU), ("7d", Language.EN), ("30d", Language.RU)]
)
async def test_every_picture_is_drawn_even_of_nothing(
    pool: Pool, executor: Executor, language: Language, period: str
) -> None:
    span = PERIODS[period]
    await executor.add("t", State.STOPPED, 5)
    for filled in (False, True):
        if filled:
            await _run(pool, 600, "succeeded", 0.0)
            await _run(pool, 300, "timed_out", 400, attempt=5)
            await pool.execute(INCIDENT_SQL, 1, span.seconds * 2, None)
            await pool.execute(INCIDENT_SQL, 2, 500.0, 100.0)
        task, statistics = await _read(pool, span)
        picture = drawn(chart_order(task, statistics, span, Translator(language), ZONE))
        assert picture.startswith(b"\x89PNG")
        assert struct.unpack(">II", picture[16:24]) == (1080, 1350)
        for caption in (chart_caption(task, statistics, span, Translator(spoken)) for spoken in Language):
            assert len(caption.plain) < 1024


async def test_a_painter_that_fails_or_hangs_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "draw.py"
    monkeypatch.setattr(painter, "SCRIPT", script)
    script.write_text("import json, sys\njson.load(sys.stdin)['kind']")
    with pytest.raises(ChartError, match="not drawn: KeyError"):
        await paint({})
    script.write_text("import time\ntime.sleep(60)")
    monkeypatch.setattr(painter, "TIME_LIMIT", 0.01)
    with pytest.raises(ChartError, match="no picture within"):
        await paint({})


async def _paint_nothing(order: object) -> bytes:
    return b"\x89PNG"


async def test_the_person_gets_one_photo_and_the_next_period_takes_its_place(
    api: BotApi, pool: Pool, executor: Executor, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter, "TIME_LIMIT", stretched(painter.TIME_LIMIT))
    await executor.add("t", State.WAITING)
    await _run(pool, 600, "succeeded", 1)
    api.say(ADMIN, "/chart 30d t")
    await api.wait_until(lambda: bool(api.world.sent(ADMIN)), 30, "the photo")
    [photo] = api.world.sent(ADMIN)
    assert photo.photo
    assert photo.text.startswith("t, 30 дней\nУспешно: 1 из 1 (100%)")
    [upload] = [call.params["photo"] for call in api.calls_of("sendPhoto")]
    assert upload.content.startswith(b"\x89PNG")
    assert struct.unpack(">II", upload.content[16:24]) == (1080, 1350)
    monkeypatch.setattr(chart, "paint", _paint_nothing)
    api.press(ADMIN, ADMIN, photo.message_id, "m:chart.24h:t")
    await api.wait_until(lambda: photo.text.startswith("t, 24 часа"), 30, "the day's picture")
    assert len(api.world.sent(ADMIN)) == 1


async def test_a_chart_that_cannot_be_drawn_is_said(
    api: BotApi, executor: Executor, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await executor.add("t", State.WAITING)
    monkeypatch.setattr(painter, "SCRIPT", "/nowhere/draw.py")
    api.say(ADMIN, "/chart t")
    await api.wait_until(lambda: bool(api.world.sent(ADMIN)), 30, "the answer")
    [answer] = api.world.sent(ADMIN)
    assert answer.text.startswith("t, 24 часа\n")
    assert answer.text.endswith(
        "\nКартинку нарисовать не удалось, поэтому только цифры. Причина в журнале раннера."
    )
    assert not answer.photo


@pytest.mark.parametrize(
    ("language", "beginning"),
    [(Language.RU, "Графики здесь не установлены"), (Language.EN, "Charts are not installed here")],
)
async def test_without_the_extra_a_command_and_a_press_are_answered_with_what_adds_it(
    api: BotApi,
    pool: Pool,
    executor: Executor,
    language: Language,
    beginning: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chart, "is_installed", lambda extra: extra is not Extra.CHARTS)
    monkeypatch.setattr(painter, "SCRIPT", "/nowhere/draw.py")  # drawing it would be another answer
    await executor.add("t", State.WAITING)
    running = Running(build(api, pool, language))
    try:
        for command in ("/chart t", "/chart", "/chart none_such"):
            said = len(api.world.sent(ADMIN))
            api.say(ADMIN, command)
            await api.wait_until(lambda said=said: len(api.world.sent(ADMIN)) > said, 30, command)  # type: ignore[misc]
        api.say(ADMIN, "/status t")
        await api.wait_until(lambda: bool(api.world.sent(ADMIN)[-1].buttons), 30, "the card")
        card = api.world.sent(ADMIN)[-1]
        [data] = [data for _, data in card.buttons if data == "m:chart:t"]
        api.press(ADMIN, ADMIN, card.message_id, data)
        await api.wait_until(lambda: len(api.world.sent(ADMIN)) == 5, 30, "the answer to the press")
    finally:
        await running.close()
    answers = [message.text for message in api.world.sent(ADMIN) if message is not card]
    assert len(answers) == 4
    for text in answers:
        assert text.startswith(beginning)
        assert text.endswith("pip install 'dozor[charts]'")
