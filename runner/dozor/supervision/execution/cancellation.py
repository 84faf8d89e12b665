"""Cancels a run, and escalates when it does not end.

told ──patience──▶ cancelled again ──patience──▶ reported with its stack, and abandoned: counted, its
                                                 incident open, its task never run beside it
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never

from loguru import logger

from dozor.config.sections.tasks import OnHang
from dozor.language import msg
from dozor.supervision.runs.failures.stacks import await_chain, chain_of_thread
from dozor.supervision.runs.run import Run, StopReason
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import NullTroubleListener, Trouble, TroubleKind, TroubleListener

PATIENCE = 5.0
"""Seconds a cancelled run has, twice, before it counts as hung."""
PROCESS_PATIENCE = 4.0
"""The same, at least, for a run in a process: it answers, obeys or is killed within 6 seconds."""

GiveUp = Callable[[SupervisedTask], None]


def _nobody_ends_it(task: SupervisedTask) -> None:
    logger.critical(msg("log-exit-no-effect", name=task.spec.name))


class Canceller:
    """`patience` in seconds. `troubles` is called for runs that are abandoned.

    `give_up` ends the process (`on_hang: exit`).
    """

    def __init__(
        self,
        troubles: TroubleListener | None = None,
        *,
        patience: float = PATIENCE,
        give_up: GiveUp = _nobody_ends_it,
    ) -> None:
        self.troubles: TroubleListener = troubles or NullTroubleListener()
        self._patience = patience
        self._give_up = give_up
        self.abandoned = 0
        """Runs given up since the process began."""

    def cancel(self, task: SupervisedTask, run: Run, reason: StopReason, *, escalate: bool = True) -> None:
        """Cancel `run`; unless it has ended after a while, again, and so on."""
        if reason is not StopReason.ASKED:
            self._look(run)
        run.cancel(reason)
        if escalate and run.escalation is None:
            loop = asyncio.get_running_loop()
            run.escalation = loop.call_later(self._patience_with(run), self._retry, loop, task, run)

    def ended(self, task: SupervisedTask, run: Run) -> None:
        """A run that was asked to end has ended."""
        for timer in (run.cancelling, run.escalation):
            if timer is not None:
                timer.cancel()

    def over(self, task: SupervisedTask, run: Run) -> None:
        """After what followed from its end: a run that was abandoned hangs no more."""
        if run.abandoned:
            name = task.spec.name
            logger.bind(task=name).warning(msg("log-abandoned-ended", name=name, number=run.number))
            self.troubles.cleared(Trouble(kind=TroubleKind.HUNG, subject=name, task=name))

    def _patience_with(self, run: Run) -> float:
        """Twice this is more than a process has, which is killed when it does not end by itself."""
        return max(self._patience, PROCESS_PATIENCE) if run.in_process else self._patience

    def _look(self, run: Run) -> None:
        """Record where it is. A process reports that by itself."""
        if not run.in_process:
            run.hung_at = tuple(where(run))

    def _retry(self, loop: asyncio.AbstractEventLoop, task: SupervisedTask, run: Run) -> None:
        if run.ended or run.task is None:
            return
        name = task.spec.name
        logger.bind(task=name).warning(msg("log-cancelling-again", name=name))
        run.task.cancel()
        run.escalation = loop.call_later(self._patience_with(run), self._abandon, loop, task, run)

    def _abandon(self, loop: asyncio.AbstractEventLoop, task: SupervisedTask, run: Run) -> None:
        if run.ended:
            return
        self.abandoned += 1
        run.abandoned = True
        chain = where(run)
        name = task.spec.name
        head = msg("log-run-abandoned", name=name, number=run.number)
        logger.bind(task=name).critical("\n  ".join((head, *(chain or (msg("log-not-known"),)))))
        self.troubles.raised(
            Trouble(
                kind=TroubleKind.HUNG,
                subject=name,
                task=name,
                seconds=2 * self._patience_with(run),
                chain=tuple(chain),
            )
        )
        match task.spec.on_hang:
            case OnHang.ABANDON:
                return
            case OnHang.EXIT:
                self._give_up(task)
            case _:
                assert_never(task.spec.on_hang)


def where(run: Run) -> list[str]:
    """Where a run of this process is at this moment."""
    if run.thread is not None:
        return chain_of_thread(run.thread)
    return [] if run.task is None else await_chain(run.task)
