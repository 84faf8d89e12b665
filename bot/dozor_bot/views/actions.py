"""Texts of the results of commands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from dozor.alerting.model.message import Span
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.render import error_span
from dozor.control.commands.commands import CommandName, CommandReason, CommandResult
from dozor.control.commands.started_runs import StartedRun
from dozor.language.times import duration
from dozor.language.translator import Translator
from dozor.supervision.core.state import RunOutcome, State
from dozor_bot.views.status import NAME_UNITS, state_words


@dataclass(frozen=True, slots=True)
class ActionWords:
    """`command`: as people write it. The others are keys of texts."""

    command: str
    choose: str
    working: str
    done: str
    done_and_ran: str
    already: str
    sure: str
    yes: str


WORDS = {
    CommandName.RESTART: ActionWords(
        "restart",
        "choose-restart",
        "working-restart",
        "done-restart",
        "ran-restart",
        "already-restart",
        "sure-restart",
        "yes-restart",
    ),
    CommandName.PAUSE: ActionWords(
        "pause",
        "choose-pause",
        "working-pause",
        "done-pause",
        "done-pause",
        "already-pause",
        "sure-pause",
        "yes-pause",
    ),
    CommandName.RESUME: ActionWords(
        "resume",
        "choose-resume",
        "working-resume",
        "done-resume",
        "done-resume",
        "already-resume",
        "sure-resume",
        "yes-resume",
    ),
    CommandName.RUN_NOW: ActionWords(
        "run", "choose-run", "working-run", "done-run", "ran-run", "already-run", "sure-run", "yes-run"
    ),
}
BY_COMMAND = {words.command: action for action, words in WORDS.items()}
_REFUSALS = {
    CommandReason.UNKNOWN_TASK: "refused-unknown",
    CommandReason.DISABLED: "refused-disabled",
    CommandReason.EXPIRED: "refused-expired",
    CommandReason.NO_RUNNER: "refused-no-runner",
    CommandReason.TIMEOUT: "refused-timeout",
    CommandReason.UNCONFIRMED: "refused-unconfirmed",
}
ERROR_UNITS = 300


def working_text(translator: Translator, action: CommandName, tasks: tuple[str, ...]) -> str:
    return "\n".join(translator.format(WORDS[action].working, task=shown(task)) for task in tasks)


def result_text(translator: Translator, action: CommandName, task: str, result: CommandResult) -> str:
    """What really happened, without the run it has started."""
    words, task = WORDS[action], shown(task)
    state = state_words(translator, result.state or State.WAITING)
    match result.reason:
        case CommandReason.DONE if result.run_number is not None:
            return translator.format(words.done_and_ran, task=task)
        case CommandReason.DONE:
            return translator.format(words.done, task=task, state=state)
        case CommandReason.ALREADY:
            return translator.format(words.already, task=task, state=state)
        case _:
            return translator.format(_REFUSALS.get(result.reason, "refused-unknown"), task=task)


def run_spans(translator: Translator, run: StartedRun) -> list[Span]:
    """The run that a command has started: going on, or how it ended."""
    number, took = run.number, duration(translator, run.seconds)
    match run.outcome:
        case None:
            return [Span(translator.format("run-going", number=number, duration=took))]
        case RunOutcome.SUCCEEDED:
            return [Span(translator.format("run-succeeded", number=number, duration=took))]
        case RunOutcome.FAILED | RunOutcome.TIMED_OUT:
            spans = [Span(translator.format("run-failed", number=number, duration=took))]
            error_type, _, text = (run.error or "").partition(": ")
            error = error_span(error_type, text, ERROR_UNITS)
            return spans if error is None else [*spans, Span("\n"), error]
        case RunOutcome.CANCELLED | RunOutcome.LOST:
            return [Span(translator.format("run-cut", number=number, duration=took))]
        case _:
            assert_never(run.outcome)


def shown(task: str) -> str:
    """Foreign text from a button, fit to be shown."""
    return shorten(one_line(task), NAME_UNITS)
