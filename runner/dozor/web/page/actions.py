"""Actions on the page: with the token of the configuration, through the same command queue as the bot."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from dozor.control.commands import audit
from dozor.control.commands.actor import Actor, Source
from dozor.control.commands.commands import (
    AlertCommand,
    CommandName,
    CommandReason,
    CommandResult,
    submit,
    wait,
)
from dozor.storage.postgres.pool import unavailable
from dozor.web.http.access import Access, bearer
from dozor.web.sources import Sources

ANSWER_SECONDS = 8.0

_STATUS = {
    CommandReason.DONE: 200,
    CommandReason.ALREADY: 200,
    CommandReason.UNKNOWN_TASK: 404,
    CommandReason.UNKNOWN_INCIDENT: 404,
    CommandReason.UNKNOWN_PERSON: 404,
    CommandReason.INVALID: 400,
    CommandReason.DISABLED: 409,
    CommandReason.EXPIRED: 409,
    CommandReason.NO_RUNNER: 503,
    CommandReason.TIMEOUT: 504,
    CommandReason.UNCONFIRMED: 504,
}


_OF_INCIDENTS = (AlertCommand.ACK, AlertCommand.UNACK, AlertCommand.SILENCE, AlertCommand.UNSILENCE)


class Actions:
    """The handlers of `POST /api/tasks/{name}/{command}` and `POST /api/incidents/{id}/{command}`."""

    def __init__(self, sources: Sources, access: Access) -> None:
        self._sources = sources
        self._access = access

    async def task(self, request: web.Request) -> web.Response:
        """401 without the token, 403 where none is configured; else what came of the command."""
        try:
            command = CommandName(request.match_info["command"])
        except ValueError:
            command = None
        return await self._handle(request, command, request.match_info["name"], {})

    async def incident(self, request: web.Request) -> web.Response:
        """The same. `?seconds=` says for how long; without it until the incident is over."""
        text, number = request.match_info["command"], request.match_info["id"]
        command = AlertCommand(text) if text in _OF_INCIDENTS else None
        silencing = command in (AlertCommand.SILENCE, AlertCommand.UNSILENCE)
        seconds = request.query.get("seconds", "")
        args = {"seconds": int(seconds)} if seconds.isdecimal() and len(seconds) < 10 else {}
        return await self._handle(request, command, f"#{number}" if silencing else number, args)

    async def _handle(
        self,
        request: web.Request,
        command: CommandName | AlertCommand | None,
        target: str,
        args: dict[str, Any],
    ) -> web.Response:
        place = request.remote or ""
        if self._sources.token is None:
            return _answer(403, "read_only")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return _answer(403, "cross_site")
        if command is None:
            return _answer(404, "unknown_command")
        status = await self._access.check(request, bearer(request), command.value, target)
        if status is not None:
            return _answer(status, "denied" if status == 401 else "too_many_guesses")
        if not target.isprintable():
            return _answer(404, "unknown_task")
        try:
            result = await self._command(Actor(Source.WEB, "token", place), command, target, args)
        except Exception as error:
            if not unavailable(error):
                raise
            return _answer(503, "database_away")
        return _answer(_STATUS[result.reason], result.reason.value, result)

    async def _command(
        self, actor: Actor, command: CommandName | AlertCommand, target: str, args: dict[str, Any]
    ) -> CommandResult:
        pool = self._sources.pool
        async with pool.acquire(timeout=5.0) as connection, connection.transaction():
            command_id = await submit(connection, command, target, actor, args=args)
        result = await wait(pool, command_id, timeout=ANSWER_SECONDS)
        if result.reason is CommandReason.NO_RUNNER:  # else whoever carries it out writes the audit row
            async with pool.acquire(timeout=5.0) as connection:
                await audit.record(connection, actor, command.value, target, result.reason.value)
        return result


def _answer(status: int, reason: str, result: CommandResult | None = None) -> web.Response:
    state = None if result is None or result.state is None else result.state.value
    return web.Response(
        text=json.dumps({"reason": reason, "state": state}),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def routes(sources: Sources, access: Access) -> list[web.RouteDef]:
    actions = Actions(sources, access)
    return [
        web.post("/api/tasks/{name}/{command}", actions.task),
        web.post("/api/incidents/{id}/{command}", actions.incident),
    ]
