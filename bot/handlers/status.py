"""`/status` and `/status name`."""

from __future__ import annotations

from dataclasses import dataclass

from bot.access import Role
from bot.card_text import card_message
from bot.handlers.choice import not_one
from bot.handlers.desk import Desk
from bot.incoming import Command, Sender
from bot.names import Found, resolve
from bot.status_text import status_message
from bot.work import Work


@dataclass(kw_only=True)
class ShowStatus(Work):
    desk: Desk
    command: Command
    role: Role

    def hears(self) -> Sender:
        return self.command.sender

    async def finish(self) -> None:
        desk, to, query = self.desk, self.command.sender, self.command.argument
        report = await desk.report()
        if not query:
            await desk.replies.send(to, status_message(report, desk.translator))
            return
        tasks = {task.name: task for task in report.tasks}
        meant = resolve(query, tuple(tasks))
        if not isinstance(meant, Found):
            await not_one(desk, to, query, meant, "status").finish()
            return
        card = card_message(
            report, tasks[meant.name], desk.translator, desk.timezone, may_act=self.role >= Role.OPERATOR
        )
        await desk.replies.send(to, card)
