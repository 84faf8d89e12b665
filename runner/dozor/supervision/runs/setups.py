"""One open `setup`: an async context manager that lives in an asyncio task of its own.

    opening ──entered──▶ open ──close()──▶ closing ──▶ over
       │ raised                │ its own task group failed   ▲
       └───────────────────────┴─────────────────────────────┘

It is entered and left in the same task, which task groups, cancel scopes and context variables require, and
outside any run, so that a run that is cancelled does not cancel it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loguru import logger

from dozor.clean_context import CleanContext
from dozor.config.imports.importing import import_checker
from dozor.config.imports.setups import given_to
from dozor.errors import SetupError
from dozor.exceptions import bounded, line_of, place_of, tamed
from dozor.language import msg
from dozor.supervision.runs.failures.stacks import await_chain, in_one_line
from dozor.supervision.runs.ownership import CURRENT, OwnTask, Scope

CANCEL_SECONDS = 2.0
"""How long a cancelled setup may take to end before it is given up."""


class _Listener:
    """Errors in tasks and threads that a setup has started, and does not wait for."""

    def __init__(self, reference: str) -> None:
        self._reference = reference

    def look(self, scope: Scope) -> None:
        """Not called: what a setup starts is meant to go on."""

    def failed_apart(self, name: str, error: BaseException) -> None:
        """Logs it, in any thread."""
        text = msg("log-setup-part-failed", setup=self._reference, error=_told(error))
        logger.opt(exception=bounded(error)).error("{}", text)


class OpenSetup:
    """`reference` ("module:function") opened with those of `offered` that it takes, by name.

    `owner`: the task it belongs to, "" for the runner's. `limit`: seconds it may take to open, and to close.
    """

    def __init__(
        self,
        owner: str,
        reference: str,
        folder: Path,
        offered: dict[str, Any],
        limit: float,
        contexts: CleanContext,
    ) -> None:
        self.owner = owner
        self.reference = reference
        self.value: Any = None
        self._folder = folder
        self._offered = offered
        self._limit = limit
        self._error: BaseException | None = None
        self._entered = False
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closing = asyncio.Event()
        scope = Scope(owner or reference, _Listener(reference))
        scope.ended = True  # tasks of a client that runs share are anybody's to cancel, see ScopedTask
        context = contexts.fresh()
        context.run(CURRENT.set, scope)
        self.task = OwnTask(self._live(), loop=loop, context=context, name=f"setup {reference}")
        self.task.scope = scope

    @property
    def over(self) -> bool:
        """It has ended: closed, or never opened."""
        return self.task.done()

    async def wait_open(self) -> Any:
        """The value. Raises SetupError if it cannot be opened, or not within its limit."""
        loop = asyncio.get_running_loop()
        left = max(0.0, self._limit - (loop.time() - self._began))
        await asyncio.wait((self._opened,), timeout=left)
        if not self._opened.done():
            where = _where(self.task)
            self.task.cancel()
            raise SetupError(
                msg("error-setup-slow", setup=self.reference, seconds=f"{self._limit:g}", where=where)
            )
        if not self._entered:
            error = self._error
            assert error is not None
            failed = SetupError(msg("error-setup-failed", setup=self.reference))
            # The cause decides whether the failure is fatal, or an outage; its frames name the place.
            raise failed from error
        return self.value

    async def close(self) -> None:
        """Leave it; afterwards it is over, or given up. Raises nothing: what goes wrong is logged."""
        self._closing.set()
        if not self._entered:
            self.task.cancel()
        await asyncio.wait((self.task,), timeout=self._limit)
        if not self.task.done():
            text = msg(
                "log-setup-close-slow",
                setup=self.reference,
                seconds=f"{self._limit:g}",
                where=_where(self.task),
            )
            self._log("ERROR", text)
            self.task.cancel()
            await asyncio.wait((self.task,), timeout=CANCEL_SECONDS)

    async def _live(self) -> None:
        try:
            async with self._make() as self.value:
                self._entered = True
                self._opened.set_result(None)
                self._log("DEBUG", msg("log-setup-opened", setup=self.reference))
                await self._closing.wait()
        except GeneratorExit:
            raise
        except BaseException as caught:  # noqa: BLE001 -- the supervision border: raised in the runs that wait
            self._error = tamed(caught)
        if not self._opened.done():
            self._error = self._error or RuntimeError(msg("error-setup-ended"))
            self._opened.set_result(None)
        elif self._error is not None:
            key = "log-setup-close-failed" if self._closing.is_set() else "log-setup-ended"
            text = msg(key, setup=self.reference, error=_told(self._error))
            self._log("ERROR", text, bounded(self._error))
        else:
            self._log("DEBUG", msg("log-setup-closed", setup=self.reference))
        self.value = None

    def _make(self) -> Any:
        function: Callable[..., Any] = import_checker(self.reference, self._folder)
        taken = given_to(function)
        made = function(**{name: value for name, value in self._offered.items() if name in taken})
        if not (hasattr(type(made), "__aenter__") and hasattr(type(made), "__aexit__")):
            if asyncio.iscoroutine(made):
                made.close()
            raise TypeError(msg("error-setup-kind", kind=type(made).__name__))
        return made

    def _log(self, level: str, text: str, error: BaseException | None = None) -> None:
        bound = logger.bind(task=self.owner) if self.owner else logger
        bound.opt(exception=error).log(level, "{}", text)


def _told(error: BaseException) -> str:
    place = place_of(error)
    return line_of(error) + (f" ({place})" if place else "")


def _where(task: asyncio.Task[Any]) -> str:
    chain = await_chain(task)
    return msg("error-setup-where", where=in_one_line(chain)) if chain else ""
