"""`dozor ack ID`, `silence`, `unsilence`, `oncall`: through the same queue as the bot's commands."""

from __future__ import annotations

import time
from datetime import tzinfo
from pathlib import Path
from typing import Any

import click

from dozor.cli.task_commands import cli_actor
from dozor.cli.terminal.completion import complete_task
from dozor.cli.terminal.layout import fitted
from dozor.cli.terminal.options import EXIT_FAILED, config_option
from dozor.cli.terminal.session import database, known_names, run_async, runner_at_work
from dozor.cli.terminal.task_names import the_task
from dozor.cli.terminal.times import in_zone
from dozor.config import load
from dozor.control.commands.commands import AlertCommand, CommandReason, CommandResult, submit, wait
from dozor.errors import CommandRefusedError
from dozor.language import msg

ALL_WORDS = frozenset({"all", "все", "всё"})
WAIT = 10.0
"""Seconds for the runner's answer."""
_DONE = {
    AlertCommand.UNACK: "cli-alert-unacked",
    AlertCommand.SILENCE: "cli-alert-silenced",
    AlertCommand.UNSILENCE: "cli-alert-unsilenced",
    AlertCommand.ONCALL: "cli-alert-oncall",
}
_DONE_UNTIL = {
    AlertCommand.ACK: "cli-alert-acked-until",
    AlertCommand.SILENCE: "cli-alert-silenced-until",
    AlertCommand.ONCALL: "cli-alert-oncall-until",
}
_REFUSED = {
    CommandReason.UNKNOWN_TASK: "cli-no-task",
    CommandReason.UNKNOWN_INCIDENT: "cli-alert-no-incident",
    CommandReason.UNKNOWN_PERSON: "cli-alert-no-person",
    CommandReason.INVALID: "cli-alert-invalid",
    CommandReason.TIMEOUT: "cli-timeout",
    CommandReason.NO_RUNNER: "cli-no-runner",
    CommandReason.EXPIRED: "cli-expired",
}
_duration = click.option("--for", "duration", metavar=msg("cli-metavar-duration"), help=msg("cli-help-for"))


@click.command(help=msg("cli-help-ack"))
@config_option
@click.argument("incident", metavar=msg("cli-metavar-id"))
@click.option("--undo", is_flag=True, help=msg("cli-help-undo"))
@_duration
def ack(config_path: Path, incident: str, *, undo: bool, duration: str | None) -> None:
    """Acknowledge incident ID: no reminders, nobody else is called. For 8 h by default."""
    number = _incident(incident)
    name = AlertCommand.UNACK if undo else AlertCommand.ACK
    run_async(_ask(config_path, name, number, _words(() if duration is None else (duration,))))


@click.command(help=msg("cli-help-silence"))
@config_option
@click.argument("name", shell_complete=complete_task, metavar=msg("cli-metavar-scope"))
@click.argument("words", nargs=-1, metavar=f"{msg('cli-metavar-duration')} {msg('cli-metavar-reason')}")
def silence(config_path: Path, name: str, words: tuple[str, ...]) -> None:
    """Send no messages about a task, an incident (#17) or everything for some time."""
    words = _words(words)
    if not words and not name.startswith("#"):
        raise CommandRefusedError(msg("cli-alert-how-long"))
    run_async(_ask(config_path, AlertCommand.SILENCE, name, words, with_reason=True))


@click.command(help=msg("cli-help-unsilence"))
@config_option
@click.argument("name", shell_complete=complete_task, metavar=msg("cli-metavar-scope"))
def unsilence(config_path: Path, name: str) -> None:
    """End a silence."""
    run_async(_ask(config_path, AlertCommand.UNSILENCE, name))


@click.command(help=msg("cli-help-oncall"))
@config_option
@click.argument("person", required=False, metavar=msg("cli-metavar-person"))
@click.argument("words", nargs=-1, metavar=msg("cli-metavar-duration"))
def oncall(config_path: Path, person: str | None, words: tuple[str, ...]) -> None:
    """Who is on call; with a name that person takes over, by default to the end of the shift."""
    if person is None:
        click.echo(fitted(run_async(_who(config_path))))
    else:
        run_async(_ask(config_path, AlertCommand.ONCALL, person, _words(words)))


def _incident(text: str) -> str:
    number = text.removeprefix("#")
    if not (number.isascii() and number.isdecimal() and len(number) < 18):
        raise CommandRefusedError(msg("cli-alert-no-incident", name=text))
    return str(int(number))


def _words(given: tuple[str, ...]) -> tuple[str, ...]:
    """A length in quotes, "30 minutes", is the same as one without."""
    return tuple(word for one in given for word in one.split())


def _period(words: tuple[str, ...], timezone: tzinfo, *, with_reason: bool) -> dict[str, Any]:
    """As arguments of the command: `seconds`, and the other words as `reason`.

    Lengths and moments are written as in the chat. Raises CommandRefusedError.
    """
    from dozor.control.commands.periods import Lasting, LengthOrMoment, Unusable, WithoutUnit, parse_period

    if not words:
        return {}
    match parse_period(words, time.time(), timezone):
        case Lasting(seconds, used) if used == len(words) or with_reason:
            return {"seconds": seconds, **({"reason": " ".join(words[used:])} if words[used:] else {})}
        case WithoutUnit(number):
            raise CommandRefusedError(msg("cli-period-unit", number=str(number)))
        case LengthOrMoment(hours, minutes):
            clock = f"{hours}:{minutes:02}"
            raise CommandRefusedError(
                msg(
                    "cli-period-or-moment",
                    time=clock,
                    length=f"{hours}h{minutes:02}m",
                    until=f"until {clock}",
                )
            )
        case Unusable.NOT_POSITIVE:
            raise CommandRefusedError(msg("cli-period-not-positive"))
        case Unusable.TOO_LONG:
            raise CommandRefusedError(msg("cli-period-too-long"))
        case Lasting() | Unusable.NOT_UNDERSTOOD:
            raise CommandRefusedError(msg("cli-period-unclear", words=" ".join(words)[:80]))


async def _ask(
    config_path: Path,
    name: AlertCommand,
    target: str,
    period: tuple[str, ...] = (),
    *,
    with_reason: bool = False,
) -> None:
    """Have the runner do it and print how it ended. Raises SystemExit if it was refused."""
    args = _period(period, load(config_path).timezone, with_reason=with_reason)
    async with runner_at_work(config_path) as (config, pool):
        match name:
            case AlertCommand.SILENCE | AlertCommand.UNSILENCE:
                target = await _scope(target, await known_names(config, pool))
            case AlertCommand.ONCALL:
                target = _person(target, list(config.oncall.people))
            case AlertCommand.ACK | AlertCommand.UNACK:
                pass
        async with pool.acquire() as connection, connection.transaction():
            number = await submit(connection, name, target, cli_actor(), args=args)
        result = await wait(pool, number, timeout=WAIT)
    ends_at = _ends_at(name, args)
    until = None if ends_at is None else in_zone(ends_at, config.timezone)
    click.echo(fitted(_said(name, target, result, until)), err=not result.ok)
    if not result.ok:
        raise SystemExit(EXIT_FAILED)


async def _scope(word: str, names: list[str]) -> str:
    if word.casefold() in ALL_WORDS:
        return "all"
    if word.startswith("#"):
        return f"#{_incident(word)}"
    return word if word.startswith("kind:") else the_task(word, names)


def _person(word: str, people: list[str]) -> str:
    from dozor.control.task_names import Found, resolve

    meant = resolve(word, people)
    if isinstance(meant, Found):
        return meant.name
    if not people:
        raise CommandRefusedError(msg("cli-alert-no-people", name=word))
    raise CommandRefusedError(msg("cli-alert-no-person", name=word, people=", ".join(people)))


def _ends_at(name: AlertCommand, args: dict[str, Any]) -> float | None:
    """When what was asked for just now ends; None: not at a time that is known here."""
    from dozor.alerting.incidents.rules import ACK_FOR

    seconds = args.get("seconds", ACK_FOR if name is AlertCommand.ACK else None)
    return None if seconds is None else time.time() + seconds


def _said(name: AlertCommand, target: str, result: CommandResult, until: str | None) -> str:
    if result.reason is CommandReason.ALREADY:
        return msg("cli-alert-already", name=target)
    if result.ok and until is not None:
        return msg(_DONE_UNTIL[name], name=target, until=until)
    if result.ok:
        return msg(_DONE[name], name=target)
    return msg(
        _REFUSED.get(result.reason, "cli-not-done"), name=target, reason=result.reason.value, people="—"
    )


async def _who(config_path: Path) -> str:
    from dozor.control.alert_settings import oncall as rotation_of
    from dozor.storage.tables import silences

    async with database(config_path) as (config, pool):
        overrides = await silences.read_overrides(pool)
    duty, now = rotation_of(config.oncall, config.telegram), time.time()
    shift, following = duty.now(now, overrides), duty.next(now, overrides)
    if shift is None:
        return msg("cli-oncall-nobody")
    lines = [
        msg("cli-oncall-now", person=shift.person, until=in_zone(shift.ends_at, config.timezone)),
    ]
    if shift.instead_of is not None:
        lines.append(msg("cli-oncall-instead", person=shift.instead_of))
    if following is not None:
        at = in_zone(following.starts_at, config.timezone)
        lines.append(msg("cli-oncall-next", person=following.person, at=at))
    return "\n".join(lines)
