"""The kinds of incidents: how severe each is, what it is called, and how it is grouped and reminded of.

A new kind is a member of `IncidentKind` and a row of `KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Severity(StrEnum):
    """How urgent something is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class IncidentKind(StrEnum):
    """What is wrong."""

    REPEATED_ERRORS = "repeated_errors"
    CRITICAL_STOP = "critical_stop"
    HUNG = "hung"
    """A run ignores its cancellation."""
    OVERDUE = "overdue"
    """No success for longer than the task's `overdue_after`."""
    BLOCKED_LOOP = "blocked_loop"
    """One step keeps the event loop from all others."""
    DEPENDENCY = "dependency"
    """Something that tasks require is down."""
    LIMIT = "limit"
    """The runner exceeds a limit."""
    POOL_EXHAUSTED = "pool_exhausted"
    """Runs wait for a connection of `ctx.db` while other runs hold all of them."""
    NO_WORKER = "no_worker"
    """No worker takes the runs of a pool."""
    BACKLOG = "backlog"
    """More waits to be processed than should."""
    UNCLEAN_END = "unclean_end"
    """The runner before this one did not end by itself."""
    BOT = "bot"
    """The bot does not receive commands, or fails at them."""
    TELEGRAM = "telegram"
    """A chat refuses messages."""
    REPLICA = "replica"
    """A standby or a worker of the cluster is lost."""
    REPLICA_CONFIG = "replica_config"
    """A replica of the cluster has another configuration than the leader."""
    REPLICA_CLOCK = "replica_clock"
    """The wall clock of a replica differs from that of the database."""
    LATE_RENEWAL = "late_renewal"
    """The leader of the cluster renews its lease late again and again."""
    CHECKER = "checker"
    """A checker's own `ctx.alert`."""
    STORM = "storm"
    """Many at once, in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindTraits:
    """What differs between kinds."""

    severity: Severity
    """The default, which the configuration can override."""
    text: str
    """Key of its name."""
    announced_as: str = "trouble"
    """The kind of its first notification."""
    streak: bool = False
    """A task's failure streak opens it, the next success ends it; such kinds of a task are one incident."""
    groupable: bool = True
    """May be grouped into a storm."""
    reminded_while_flapping: bool = False
    """Its return is not announced a third time, but reminders go on."""


_W, _C = Severity.WARNING, Severity.CRITICAL

KINDS: Mapping[IncidentKind, KindTraits] = MappingProxyType(
    {
        IncidentKind.REPEATED_ERRORS: KindTraits(
            severity=_W,
            text="kind-repeated-errors",
            announced_as="repeated_errors",
            streak=True,
            reminded_while_flapping=True,
        ),
        IncidentKind.CRITICAL_STOP: KindTraits(
            severity=_C,
            text="kind-critical-stop",
            announced_as="critical_stop",
            streak=True,
            reminded_while_flapping=True,
        ),
        IncidentKind.HUNG: KindTraits(severity=_C, text="kind-hung"),
        IncidentKind.OVERDUE: KindTraits(severity=_W, text="kind-overdue"),
        IncidentKind.BLOCKED_LOOP: KindTraits(severity=_W, text="kind-blocked-loop"),
        IncidentKind.DEPENDENCY: KindTraits(severity=_C, text="kind-dependency", groupable=False),
        IncidentKind.LIMIT: KindTraits(severity=_W, text="kind-limit"),
        IncidentKind.POOL_EXHAUSTED: KindTraits(severity=_C, text="kind-pool-exhausted"),
        IncidentKind.NO_WORKER: KindTraits(severity=_C, text="kind-no-worker"),
        IncidentKind.BACKLOG: KindTraits(severity=_W, text="kind-backlog"),
        IncidentKind.UNCLEAN_END: KindTraits(
            severity=_W, text="kind-unclean-end", groupable=False, reminded_while_flapping=True
        ),
        IncidentKind.BOT: KindTraits(severity=_W, text="kind-bot"),
        IncidentKind.TELEGRAM: KindTraits(severity=_C, text="kind-telegram", groupable=False),
        IncidentKind.REPLICA: KindTraits(severity=_W, text="kind-replica"),
        IncidentKind.REPLICA_CONFIG: KindTraits(severity=_W, text="kind-replica-config"),
        IncidentKind.REPLICA_CLOCK: KindTraits(severity=_W, text="kind-replica-clock"),
        IncidentKind.LATE_RENEWAL: KindTraits(severity=_W, text="kind-late-renewal"),
        IncidentKind.CHECKER: KindTraits(severity=_W, text="kind-checker", announced_as="checker"),
        IncidentKind.STORM: KindTraits(severity=_W, text="kind-storm", announced_as="storm"),
    }
)
assert set(KINDS) == set(IncidentKind)
