"""Executes commands about alerts: acknowledge, silence, change who is on call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from dozor.alerting.incidents import rules
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.incidents.rules import Decision
from dozor.alerting.incidents.store import IncidentChanges
from dozor.alerting.model.incident import Incident, IncidentState
from dozor.alerting.policy.silences import Silence, SilenceScope
from dozor.clock import Clock
from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.commands.commands import AlertCommand, CommandReason
from dozor.storage.journal import Commit
from dozor.storage.tables.silences import OverrideRow

LONGEST_SILENCE = 30 * 86_400.0
"""Seconds: nobody remembers a longer one."""
LONGEST_ACK = 7 * 86_400.0
REASON_LENGTH = 300


class AlertCommandHandler:
    """`last_silence_id`, `last_override_id`: given so far. Its changes are in the same turn of the loop."""

    def __init__(
        self, manager: IncidentManager, clock: Clock, *, last_silence_id: int = 0, last_override_id: int = 0
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._silence_id = last_silence_id
        self._override_id = last_override_id

    def execute(
        self, name: AlertCommand, target: str, args: dict[str, Any], actor: str, known_task: bool
    ) -> CommandReason:
        """`known_task`: whether `target` is a task under supervision."""
        now = self._clock.now()
        match name:
            case AlertCommand.ACK:
                return self._acknowledge(target, _seconds(args, LONGEST_ACK) or rules.ACK_FOR, actor, now)
            case AlertCommand.UNACK:
                return self._unacknowledge(target, now)
            case AlertCommand.SILENCE:
                return self._silence(target, args, actor, now, known_task=known_task)
            case AlertCommand.UNSILENCE:
                return self._unsilence(target, actor, now)
            case AlertCommand.ONCALL:
                return self._override_oncall(target, _seconds(args, LONGEST_SILENCE), actor, now)
            case _:
                assert_never(name)

    def _acknowledge(self, target: str, seconds: float, actor: str, now: float) -> CommandReason:
        incident = self._incident(target)
        if incident is None:
            return CommandReason.UNKNOWN_INCIDENT
        if incident.state is IncidentState.ACKNOWLEDGED:
            return CommandReason.ALREADY
        self._decide(rules.acknowledge(incident, actor, now, seconds))
        if (
            incident.kind is IncidentKind.STORM
        ):  # its incidents have no message of their own to be taken on by
            for member in self._manager.open_incidents:
                if member.storm == incident.id and member.state is IncidentState.OPEN:
                    self._decide(rules.acknowledge(member, actor, now, seconds))
        return CommandReason.DONE

    def _unacknowledge(self, target: str, now: float) -> CommandReason:
        incident = self._incident(target)
        if incident is None:
            return CommandReason.UNKNOWN_INCIDENT
        if incident.state is not IncidentState.ACKNOWLEDGED:
            return CommandReason.ALREADY
        self._decide(rules.unacknowledge(incident, now))
        return CommandReason.DONE

    def _silence(
        self, target: str, args: dict[str, Any], actor: str, now: float, *, known_task: bool
    ) -> CommandReason:
        seconds = _seconds(args, LONGEST_SILENCE)
        found = self._scope(target, known_task=known_task, lasting=seconds is None)
        if isinstance(found, CommandReason):
            return found
        scope, what = found
        if seconds is None and scope is not SilenceScope.INCIDENT:
            return CommandReason.INVALID
        self._silence_id += 1
        silence = Silence(
            id=self._silence_id,
            scope=scope,
            target=what,
            reason=str(args.get("reason") or "")[:REASON_LENGTH],
            created_by=actor,
            created_at=now,
            ends_at=None if seconds is None else now + seconds,
        )
        self._manager.silences[silence.id] = silence
        self._manager.commit(IncidentChanges(), Commit(silences=(silence,)))
        for incident in self._manager.open_incidents:
            if silence.covers(incident=incident.id, task=incident.task, kind=incident.kind):
                longest = self._manager.silence_of(incident, now) or silence
                self._decide(Decision(replace(incident, silenced_by=longest.id, updated_at=now)))
        return CommandReason.DONE

    def _unsilence(self, target: str, actor: str, now: float) -> CommandReason:
        found = self._scope(target, known_task=True, lasting=True)
        if isinstance(found, CommandReason):
            return found
        scope, what = found
        incident = self._incident(target.removeprefix("#")) if scope is SilenceScope.INCIDENT else None
        lifted = [
            silence
            for silence in self._manager.silences.values()
            if (silence.scope, silence.target) == (scope, what)
            or (incident is not None and incident.silenced_by == silence.id)
        ]
        for silence in lifted:
            self._manager.commit(self._manager.end_silence(silence, now, actor), Commit())
        return CommandReason.DONE if lifted else CommandReason.ALREADY

    def _scope(
        self, target: str, *, known_task: bool, lasting: bool
    ) -> tuple[SilenceScope, str] | CommandReason:
        if target == "all":
            return SilenceScope.ALL, ""
        if target.startswith("kind:"):
            kind = target.removeprefix("kind:")
            return (SilenceScope.KIND, kind) if kind in tuple(IncidentKind) else CommandReason.INVALID
        if target.startswith("#"):
            incident = self._incident(target.removeprefix("#"))
            if incident is None:
                return CommandReason.UNKNOWN_INCIDENT
            if incident.task is not None and not lasting:
                return SilenceScope.TASK, incident.task  # it may come back as another incident meanwhile
            return SilenceScope.INCIDENT, str(incident.id)
        return (SilenceScope.TASK, target) if known_task else CommandReason.UNKNOWN_TASK

    def _override_oncall(self, person: str, seconds: float | None, actor: str, now: float) -> CommandReason:
        oncall = self._manager.oncall
        if person not in oncall.people:
            return CommandReason.UNKNOWN_PERSON
        shift = oncall.now(now, self._manager.overrides)
        if shift is None:
            return CommandReason.INVALID
        ends_at = shift.ends_at if seconds is None else now + seconds
        if shift.person == person and shift.ends_at >= ends_at:
            return CommandReason.ALREADY
        self._override_id += 1
        override = OverrideRow(
            id=self._override_id,
            person=person,
            starts_at=now,
            ends_at=ends_at,
            created_by=actor,
            created_at=now,
        )
        self._manager.overrides.append(override)
        self._manager.commit(IncidentChanges(), Commit(overrides=(override,)))
        return CommandReason.DONE

    def _incident(self, target: str) -> Incident | None:
        number = target.removeprefix("#")
        return self._manager.find_incident(int(number)) if number.isdecimal() and len(number) < 18 else None

    def _decide(self, decision: Decision) -> None:
        self._manager.commit(self._manager.apply(decision), Commit())


def _seconds(args: dict[str, Any], longest: float) -> float | None:
    """None: not given, or nothing that could be meant."""
    seconds = args.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        return None
    return min(float(seconds), longest)
