"""Separate contextvars contexts: for each run of a checker, and for what the runner does on its account.

A coroutine, a timer and a callback inherit the context of the code that created them. Without a context of
its own, the decimal precision and the ContextVars of one checker would reach timers, and through them the
runs of other tasks.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class CleanContext:
    """The context at the moment of construction, of which any number of copies can be taken.

    A copy of a context shares the values. The decimal context is a mutable value, so that each copy for a
    checker gets a decimal context of its own. Other mutable values are shared.
    """

    __slots__ = ("_base", "_decimal", "timers")

    def __init__(self) -> None:
        self._base = copy_context()
        # In a copy: the caller may have no decimal context yet, and is given none.
        self._decimal = self._base.copy().run(decimal.getcontext).copy()
        self.timers = self._base.copy()
        """For `call_at`, `call_soon` and `add_done_callback`, and for the end of a run. What is called in it
        must not enter it again (`run` does not): Python refuses that."""

    def fresh(self) -> Context:
        """A copy for one run: nothing that the run changes is seen by anything else.

        It has a decimal context in any case: Python would make one of `decimal.DefaultContext`, which every
        checker can change.
        """
        context = self._base.copy()
        context.run(decimal.setcontext, self._decimal.copy())
        return context

    def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call code of the runner from inside a run, without the run's context."""
        return self._base.copy().run(function, *args, **kwargs)
