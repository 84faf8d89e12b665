"""Submits commands that change tasks to the command queue, and reports their results in one message."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dozor.alerting.model.message import Button, Message, Span
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded
from dozor.control.commands.commands import CommandName, CommandReason, CommandResult, submit, wait
from dozor.control.commands.started_runs import DuplicateCommand, StartedRun, read_earlier, read_started
from dozor.language.times import ago
from dozor.storage.postgres.pool import Connection
from dozor_bot.handlers.context import HandlerContext, message
from dozor_bot.live_cards import OpenCard
from dozor_bot.responses import Response, actor_of
from dozor_bot.telegram.answers import Effort
from dozor_bot.telegram.incoming import Sender
from dozor_bot.views.actions import result_text, run_spans, shown, working_text

RESULT_TIMEOUT = 10.0
PATIENCE = 1.0
"""Seconds without a result after which an interim answer is sent."""
RUN_PATIENCE = 1.0
"""A run that ends within these seconds is reported in the first answer."""
POLL_EVERY = 0.05
UNDO = {CommandName.PAUSE: CommandName.RESUME, CommandName.RESUME: CommandName.PAUSE}


@dataclass(kw_only=True)
class Action(Response):
    """One command for one or several tasks. The answer is kept true by edits until the runs are over."""

    sender: Sender
    context: HandlerContext
    action: CommandName
    tasks: tuple[str, ...]
    in_place: int | None = None
    """The message that the answer takes the place of."""
    ids: dict[str, int] = field(default_factory=dict)
    earlier: dict[str, DuplicateCommand] = field(default_factory=dict)

    @property
    def owed_for(self) -> Effort:
        return Effort.ACTION

    def recipient(self) -> Sender:
        return self.sender

    def state(self) -> dict[str, Any]:
        return {
            "action": self.action.value,
            "tasks": self.tasks,
            "in_place": self.in_place,
            "ids": self.ids,
            "earlier": {task: asdict(same) for task, same in self.earlier.items()},
        }

    @staticmethod
    def restored(context: HandlerContext, sender: Sender, state: Mapping[str, Any]) -> Action:
        """Of `state`, by another process."""
        return Action(
            context=context,
            sender=sender,
            action=CommandName(state["action"]),
            tasks=tuple(state["tasks"]),
            in_place=state["in_place"],
            ids=dict(state["ids"]),
            earlier={task: DuplicateCommand(**same) for task, same in state["earlier"].items()},
        )

    async def write(self, connection: Connection) -> None:
        self.ids, self.earlier = {}, {}
        for task in self.tasks:
            same = await read_earlier(connection, self.action, task)
            if same is not None:
                self.earlier[task] = same
            else:
                self.ids[task] = await submit(connection, self.action, task, actor_of(self.sender))

    async def send(self) -> None:
        replies, at_work = self.context.replies, self.in_place
        waiting = asyncio.create_task(self._results())
        try:
            done, _ = await asyncio.wait({waiting}, timeout=PATIENCE)
            if not done:
                working = message(working_text(self.context.translator, self.action, tuple(self.ids)))
                at_work = await replies.show(self.sender, at_work, working, Effort.OPTIONAL)
            results = await waiting
        finally:
            waiting.cancel()
        runs = await self._ended_soon(results)
        answer = self._answer(results, runs)
        at_work = await replies.show(self.sender, at_work, answer, Effort.ACTION)
        if at_work is not None and self._goes_on(results, runs):

            async def again() -> tuple[Message, bool]:
                newer = await read_started(self.context.pool, list(self.ids.values()))
                return self._answer(results, newer), self._goes_on(results, newer)

            self.context.live.keep(OpenCard(self.sender, at_work, again, answer))

    async def _results(self) -> dict[str, CommandResult]:
        pool = self.context.pool
        waits = [wait(pool, command_id, timeout=RESULT_TIMEOUT) for command_id in self.ids.values()]
        return dict(zip(self.ids, await asyncio.gather(*waits), strict=True))

    async def _ended_soon(self, results: dict[str, CommandResult]) -> dict[int, StartedRun]:
        if all(result.run_number is None for result in results.values()):
            return {}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RUN_PATIENCE
        while True:
            runs = await read_started(self.context.pool, list(self.ids.values()))
            if not self._goes_on(results, runs) or loop.time() > deadline:
                return runs
            await asyncio.sleep(POLL_EVERY)

    def _goes_on(self, results: dict[str, CommandResult], runs: dict[int, StartedRun]) -> bool:
        started = [self.ids[task] for task, result in results.items() if result.run_number is not None]
        return any(command_id not in runs or runs[command_id].outcome is None for command_id in started)

    # -- in words

    def _answer(self, results: dict[str, CommandResult], runs: dict[int, StartedRun]) -> Message:
        translator, spans = self.context.translator, list[Span]()
        # In a group the answer names the person.
        by = f" · {shown(self.sender.user_name)}" if not self.sender.private and self.sender.user_name else ""
        for task in self.tasks:
            if spans:
                spans.append(Span("\n"))
            if task in self.earlier:
                spans.append(Span(self._told_earlier(task, self.earlier[task])))
                continue
            spans.append(Span(result_text(translator, self.action, task, results[task]) + by))
            run = runs.get(self.ids[task])
            if run is not None:
                spans += [Span("\n"), *run_spans(translator, run)]
        return Message(spans=bounded(spans, MESSAGE_UNITS), buttons=self._buttons(results))

    def _told_earlier(self, task: str, same: DuplicateCommand) -> str:
        translator = self.context.translator
        distance = ago(translator, same.age)
        if same.actor == str(actor_of(self.sender)):
            return translator.format("earlier-self", task=shown(task), ago=distance)
        name = self.context.people.called(same.actor, translator)
        return translator.format("earlier-other", task=shown(task), ago=distance, name=name)

    def _buttons(self, results: dict[str, CommandResult]) -> tuple[tuple[Button, ...], ...]:
        """The way back where there is one, and to the card of the task."""
        if len(self.tasks) != 1:
            return ()
        [task] = self.tasks
        text, row = self.context.translator.format, list[Button]()
        result, undo = results.get(task), UNDO.get(self.action)
        if undo is not None and result is not None and result.reason is CommandReason.DONE:
            row.append(Button(text("button-undo"), encode(Origin.MENU, undo.value, task)))
        if result is None or result.reason is not CommandReason.UNKNOWN_TASK:
            row.append(Button(text("button-card"), encode(Origin.MENU, "status", task)))
        return (tuple(row),) if row else ()
