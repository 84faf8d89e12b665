"""Daily reports: what happened in the quiet hours, and that no incident is open; once a day each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time
from zoneinfo import ZoneInfo

from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.incident import IncidentState
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.policy.quiet_hours import QuietHours, moment
from dozor.alerting.rendering import phrases
from dozor.clock import Clock
from dozor.config.values.incident_kinds import Severity
from dozor.language.times import clock as clock_time
from dozor.storage.postgres.pool import Pool
from dozor.storage.retry import every
from dozor.storage.tables import incidents
from dozor.storage.tables.incidents import IncidentRow

LOOK_EVERY = 15.0
LATE = 2 * 3600.0
"""Seconds after its time in which such a message is still worth sending."""
LINES = 20


class DailyReports:
    """`tasks`: how many are under supervision. Times of day in `timezone`."""

    def __init__(
        self,
        pool: Pool,
        manager: IncidentManager,
        clock: Clock,
        timezone: ZoneInfo,
        tasks: Callable[[], int],
        *,
        quiet: QuietHours | None = None,
        all_clear_at: time | None = None,
    ) -> None:
        self._pool = pool
        self._manager = manager
        self._clock = clock
        self._timezone = timezone
        self._tasks = tasks
        self._quiet = quiet
        self._all_clear_at = all_clear_at
        self._queued: set[str] = set()

    async def run(self) -> None:
        """Check for ever."""
        await every(self.look, LOOK_EVERY)

    async def look(self) -> None:
        """Queue what is due. The key holds the day, so a restart does not queue it again."""
        now = self._clock.now()
        if self._quiet is not None:
            begin, end = self._quiet.last(now)
            key = f"morning-{self._day(end)}"
            if now - end < LATE and key not in self._queued:
                rows = await incidents.read_opened(self._pool, begin, end)
                self._queued.add(key)
                if rows:
                    self._enqueue(
                        key,
                        NotificationKind.MORNING,
                        Severity.WARNING,
                        self._quiet_hours_report(rows, now),
                        now,
                    )
        if self._all_clear_at is not None:
            today = datetime.fromtimestamp(now, self._timezone).date()
            at = moment(today, self._all_clear_at, self._timezone)
            key = f"all-clear-{today}"
            if 0 <= now - at < LATE and key not in self._queued:
                self._queued.add(key)
                broken = self._manager.open_incidents
                severity = Severity.WARNING if broken else Severity.INFO
                lines = tuple(
                    f"{phrases.mark(one.severity)} {one.task or one.kind}: {one.summary}"
                    for one in broken[:LINES]
                )
                count = len(broken) if broken else self._tasks()
                self._enqueue(
                    key, NotificationKind.ALL_CLEAR, severity, AlertData(lines=lines, count=count), now
                )

    def _quiet_hours_report(self, rows: list[IncidentRow], now: float) -> AlertData:
        """Still open first, then the worst."""
        rows = sorted(rows, key=lambda r: (r.state == IncidentState.RESOLVED, r.severity != "critical", r.id))
        return AlertData(lines=tuple(self._line(row, now) for row in rows[:LINES]), count=len(rows))

    def _line(self, row: IncidentRow, now: float) -> str:
        over = row.state == IncidentState.RESOLVED
        began = clock_time(row.opened_at, self._timezone, now)
        ended = "" if row.resolved_at is None else clock_time(row.resolved_at, self._timezone, now)
        sign = phrases.mark(Severity(row.severity), over=over)
        return f"{sign} {row.task or row.kind}: {row.summary} ({began} – {ended or '…'})"

    def _enqueue(
        self, key: str, kind: NotificationKind, severity: Severity, facts: AlertData, now: float
    ) -> None:
        notes: list[Notification] = self._manager.notifications.broadcast(
            kind, severity, facts, now, to=("",)
        )
        self._manager.enqueue(replace(note, key=key) for note in notes)

    def _day(self, at: float) -> str:
        return datetime.fromtimestamp(at, self._timezone).date().isoformat()
