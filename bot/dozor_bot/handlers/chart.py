"""`/chart name [24h|7d|30d]`: one photo with its text; the other periods take its place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiogram.types import BufferedInputFile
from loguru import logger

from dozor.alerting.model.message import Message, Span, Style
from dozor.alerting.rendering.callback_data import CallbackData, Origin
from dozor.control.queries.statistics import read_statistics
from dozor.control.queries.status import read_status
from dozor.extras import Extra, install_command, is_installed
from dozor_bot.charts.painter import ChartError, paint
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.handlers.history import one_task
from dozor_bot.responses import Response
from dozor_bot.security.access import Role
from dozor_bot.telegram.incoming import Command, Pressed, Sender
from dozor_bot.views.chart import DAY, PERIODS, Period, chart_caption, chart_order


@dataclass(kw_only=True)
class ShowChart(Response):
    """`in_place`: the message to change; None: a new one."""

    context: HandlerContext
    sender: Sender
    task: str
    period: Period
    in_place: int | None = None

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        context, to, period = self.context, self.sender, self.period
        async with context.pool.acquire() as connection:
            report = await read_status(connection, self.task)
            statistics = await read_statistics(connection, self.task, period.seconds, period.portions)
        if not report.tasks:
            await context.replies.send(to, context.say("refused-unknown", task=self.task))
            return
        [task] = report.tasks
        if self.in_place is None:
            await context.replies.say_uploading(to)
        caption = chart_caption(task, statistics, period, context.translator)
        try:
            picture = await paint(chart_order(task, statistics, period, context.translator, context.timezone))
        except ChartError as error:
            logger.warning("{}", error)
            # Not in place: the picture of another period would stay above these figures.
            await context.replies.show(to, None, self._figures(caption, "chart-not-drawn"))
            return
        file = BufferedInputFile(picture, f"{task.name}.png")
        if self.in_place is not None:
            context.live.close(to.chat_id, self.in_place)
        instead = self._figures(caption, "chart-no-photos")
        await context.replies.show_photo(to, self.in_place, file, caption, instead)

    def _figures(self, caption: Message, note: str) -> Message:
        """Without a picture. `note`: the key of the text that says why."""
        reason = Span("\n" + self.context.translator.format(note), Style.ITALIC)
        return replace(caption, spans=(*caption.spans, reason))


async def on_command(context: HandlerContext, command: Command, role: Role) -> Response:
    """The period may precede or follow the name."""
    if not is_installed(Extra.CHARTS):
        return _not_installed(context, command.sender)
    words = command.argument.split()
    periods = [word for word in words if word.lower() in PERIODS]
    query = " ".join(word for word in words if word not in periods)
    task = await one_task(context, command.sender, "chart", query)
    if isinstance(task, Response):
        return task
    period = PERIODS[periods[-1].lower()] if periods else DAY
    return ShowChart(context=context, sender=command.sender, task=task, period=period)


async def on_press(context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role) -> Response:
    if not is_installed(Extra.CHARTS):
        return _not_installed(context, pressed.sender)
    period = PERIODS.get(press.action.partition(".")[2], DAY)
    in_place = pressed.sender.message_id if press.origin is Origin.MENU else None
    return ShowChart(
        context=context, sender=pressed.sender, task=press.task, period=period, in_place=in_place
    )


def _not_installed(context: HandlerContext, to: Sender) -> Response:
    """Charts are an extra: the answer names the command that adds it."""
    return context.answer(
        to, context.translator.format("chart-needs-extra", command=install_command(Extra.CHARTS))
    )
