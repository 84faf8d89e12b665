"""A runner's whole life under one seed: processes that are killed, outages, people, a clock that is set."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

from dozor.alerting.delivery import dispatcher as dispatching
from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.incidents.startup import startup_report
from dozor.alerting.model.incident import AlertSettings, Incident
from dozor.alerting.model.message import Message, Span
from dozor.alerting.model.notification import AlertData, Notification
from dozor.alerting.rendering.renderer import fallback_message
from dozor.alerting.reports.runner import RunnerReports
from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Continuous, Cron, Every, Schedule
from dozor.storage.journal import Commit
from dozor.storage.tables.incidents import StormGroup
from dozor.storage.tables.runners import LastEnd, Registration
from dozor.supervision.core.events import Pause, Restart, Resume, RunNow
from dozor.supervision.core.policy import Intensity, Policy, RestartDelay
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State
from dozor.supervision.execution.cancellation import Canceller
from dozor.supervision.monitoring.task_monitor import TaskMonitor
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.persistence import from_row
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.metrics import RunMetrics
from tests.simulation.chat import Chat, Silent
from tests.simulation.checkers import DAY, Checker
from tests.simulation.database import Database
from tests.simulation.invariants import BrokenInvariantError, Referee, look_at_outbox, look_at_tasks

HOUR = 3600.0
EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


@dataclass(slots=True)
class Outcome:
    """What one life came to. `digest`: equal for equal seeds."""

    seed: int
    runs: int = 0
    transitions: int = 0
    delivered: int = 0
    kills: int = 0
    outages: int = 0
    stops: int = 0
    digest: str = ""


@dataclass(slots=True)
class _Process:
    supervisor: Supervisor
    manager: IncidentManager
    referee: Referee
    journal: Any
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)


class World:
    """`days` of `count` tasks."""

    def __init__(self, seed: int, *, days: float, count: int) -> None:
        self._luck = random.Random(seed)
        self._days = days
        self.outcome = Outcome(seed)
        self._say = f"seed {seed}"
        self._running: dict[str, int] = {}
        self._twice: list[str] = []
        self._generation = 0
        self._killed_at: float | None = None
        self._streaks: dict[str, int] = {}
        self._committed: dict[str, int] = {}
        self._hash = hashlib.sha256()
        self._shift = self._slept = 0.0
        self._specs = [self._spec(number) for number in range(count)]

    async def live(self) -> Outcome:
        """Raises BrokenInvariantError."""
        dispatching.POLL_EVERY = 6 * HOUR  # whoever owes something wakes the dispatcher here
        self._loop = asyncio.get_running_loop()
        self._clock = SteadyClock(
            wall=lambda: EPOCH + self._loop.time() + self._shift + self._slept,
            awake=self._loop.time,
            awake_and_asleep=lambda: self._loop.time() + self._slept,
        )
        self._database = Database(self._clock.now)
        self._chat = Chat(self._luck, self._note)
        process = self._start()
        end = self._days * DAY
        while self._loop.time() < end:
            await asyncio.sleep(self._luck.expovariate(1 / (12 * HOUR)))
            process = await self._something_happens(process)
            self._look(process)
        await self._settle(process)
        await self._end(process)
        self.outcome.digest = self._hash.hexdigest()
        return self.outcome

    # -- what happens to it

    async def _something_happens(self, process: _Process) -> _Process:
        luck = self._luck.random()
        if luck < 0.02:
            return await self._kill(process)
        if luck < 0.05:
            await self._outage(process)
        elif luck < 0.08:
            await self._blip()
        elif luck < 0.09:
            self._shift += self._luck.choice((-HOUR, HOUR, -DAY, 5 * DAY, 0.4, -30.0))
        elif luck < 0.10:
            self._slept += self._luck.choice((600.0, 8 * HOUR))
        elif luck < 0.50:
            self._a_person_acts(process)
        return process

    async def _blip(self) -> None:
        """An outage that nobody notices but a run in the middle of it."""
        self._database.up = False
        await asyncio.sleep(self._luck.choice((1.0, 30.0, 300.0)))
        self._database.up = True

    async def _outage(self, process: _Process) -> None:
        self.outcome.outages += 1
        self._database.up = False
        await asyncio.sleep(self._luck.choice((0.0, 1.0)))  # it is noticed a little later
        process.supervisor.dependency_changed(up=False)
        await asyncio.sleep(self._luck.expovariate(1 / 600.0))
        self._database.up = True
        process.journal.flush()
        process.supervisor.dependency_changed(up=True)

    def _a_person_acts(self, process: _Process) -> None:
        """Brings back what is stopped or paused, and now and then meddles with the others."""
        for task in process.supervisor.tasks:
            name, state = task.spec.name, task.state.state
            if state is State.STOPPED and self._luck.random() < 0.6:
                process.supervisor.command(name, Restart("cli:sim"))
            elif state is State.PAUSED and self._luck.random() < 0.5:
                process.supervisor.command(name, Resume("cli:sim"))
            elif state is State.RUNNING and self._luck.random() < 0.2:
                process.supervisor.command(name, Restart("cli:sim"))
            elif self._luck.random() < 0.01:
                event = self._luck.choice((Pause("cli:sim"), Restart("cli:sim"), RunNow("cli:sim")))
                process.supervisor.command(name, event)

    async def _kill(self, process: _Process) -> _Process:
        """kill -9: what was not committed is lost, and what it was sending may have arrived."""
        self.outcome.kills += 1
        self._killed_at = self._clock.now()
        await self._end(process)
        return self._start()

    async def _end(self, process: _Process) -> None:
        process.referee.dead = process.journal.dead = True
        process.supervisor.halt()
        me = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not me]
        for _ in range(5):  # the deaf swallow a few
            for task in others:
                task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.sleep(1.0)
        self._running.clear()
        self._streaks = {name: row.consecutive_failures for name, row in self._database.tasks.items()}

    async def _settle(self, process: _Process) -> None:
        """Two calm days with a chat that is well: whatever is owed arrives."""
        self._chat.well = True
        await asyncio.sleep(2 * DAY)
        self._look(process)
        await process.supervisor.stop()
        process.referee.dead = True
        await asyncio.sleep(DAY)
        look_at_outbox(self._database, self._say)

    def _look(self, process: _Process) -> None:
        now = self._clock.now()
        for part in process.tasks:
            if part.done():
                part.result()
                raise BrokenInvariantError(f"{self._say}: a part of the runner has ended")
        for broken in (*self._twice, *process.referee.broken):
            raise BrokenInvariantError(broken)
        look_at_tasks(process.supervisor, process.manager, self._database, now, self._say)
        for line in process.referee.lines:
            self._note(line)
        self.outcome.transitions += len(process.referee.lines)
        process.referee.lines.clear()

    # -- a process

    def _start(self) -> _Process:
        self._generation += 1
        database, clock = self._database, self._clock
        journal = _Journal(database, self._generation)
        measures = RunMetrics(len(self._specs))
        rows = [row for row in database.incidents.values() if row.state != "resolved"]
        rules = {spec.name: AlertSettings(remind_every=DAY) for spec in self._specs}
        manager = IncidentManager(
            cast(Any, journal), clock, rules, rows, max(database.incidents, default=0), measures
        )
        referee = Referee(manager, measures, dict(self._streaks), self._say)
        stored = {name: from_row(row) for name, row in database.tasks.items()}
        for name, state in stored.items():
            if state.failures != self._streaks.get(name, 0):
                raise BrokenInvariantError(f"{self._say}: a kill has changed the streak of {name}")
        supervisor = Supervisor(
            self._specs,
            observer=referee,
            clock=clock,
            log=SupervisionLog(),
            generation=self._generation,
            stored=stored,
            is_outage=self._is_outage,
            grace=10.0,
            canceller=Canceller(manager),
        )
        supervisor.random = random.Random(self._luck.random())
        dispatcher = Dispatcher(cast(Any, database), self._chat, Silent(), _Words(), clock)
        journal.subscribe(dispatcher.wake)
        process = _Process(supervisor, manager, referee, journal)
        supervisor.start()
        RunnerReports(manager, self._clock).started(supervisor, self._found(supervisor))
        process.tasks = [
            asyncio.create_task(dispatcher.run()),
            asyncio.create_task(self._rounds(process)),
        ]
        return process

    def _found(self, supervisor: Supervisor) -> AlertData:
        now, killed_at = self._clock.now(), self._killed_at
        before = None if killed_at is None else LastEnd(killed_at, max(0.0, now - killed_at), clean=False)
        owed = len(self._database.pending)
        lost = [name for name, row in self._database.tasks.items() if row.running_since is not None]
        registration = Registration(self._generation, before)
        return startup_report(
            registration, supervisor.tasks, self._database.tasks, lost=lost, pending=owed, now=now
        )

    async def _rounds(self, process: _Process) -> None:
        monitor = TaskMonitor(process.supervisor, process.manager, self._clock)
        count = 0
        while not process.journal.dead:
            monitor.check()
            count += 1
            if count % 3 == 0:
                process.manager.tick(process.supervisor)
                checkpoint = process.supervisor.take_checkpoint(10_000)
                if self._database.up:
                    self._database.checkpoint(list(checkpoint.hot), list(checkpoint.full))
                self.outcome.runs += sum(row.runs for row in checkpoint.runs)
            await asyncio.sleep(HOUR)

    async def _is_outage(self, error: BaseException, started_at: float, used_database: bool) -> bool:
        if not isinstance(error, ConnectionError):
            return False
        await asyncio.sleep(0)
        return True

    # -- its tasks

    def _spec(self, number: int) -> TaskSpec:
        luck, name = self._luck, f"task_{number}"
        schedule: Schedule = luck.choice(
            (
                Every(luck.choice((3, 6, 12, 24, 72)) * HOUR),
                Every(luck.choice((6, 12, 24)) * HOUR),
                Cron(luck.choice(("30 2 * * *", "0 */6 * * *", "0 9 * * 1-5", "15 1 1 * *")), _ZONE),
                Continuous(),
            )
        )
        policy = Policy(
            schedule=schedule,
            restart_delay=luck.choice((RestartDelay(60.0, 2.0, HOUR, 0.5), RestartDelay.fixed(60.0))),
            max_consecutive_failures=luck.choice((3, 5, 5, 10)),
            stable_after=HOUR,
            timeout=None if isinstance(schedule, Continuous) else luck.choice((300.0, HOUR)),
            heartbeat_timeout=6 * HOUR if isinstance(schedule, Continuous) else None,
            overdue_after=luck.choice((None, 5 * DAY)),
            skip_missed=luck.random() < 0.3,
            stop_retry_every=luck.choice((None, None, 6 * HOUR)),
            requires_database=luck.random() < 0.5,
            max_failures=luck.choice((None, Intensity(10, 6 * HOUR))),
            offset=luck.choice((0.0, 30.0)),
        )
        checker = Checker(
            random.Random(luck.random()),
            lambda: self._began(name),
            lambda: self._ended(name),
            lambda: self._database.up,
            continuous=policy.continuous,
            needs_database=luck.random() < 0.6,
        )
        return TaskSpec(name=name, function=checker, takes_context=True, policy=policy)

    def _began(self, name: str) -> None:
        if self._running.get(name):
            self._twice.append(f"{self._say}: {name} runs twice at once")
        self._running[name] = 1

    def _ended(self, name: str) -> None:
        self._running[name] = 0

    def _note(self, line: str) -> None:
        self._hash.update(line.encode())
        if line.startswith("chat"):
            self.outcome.delivered += 1
        elif line.endswith(" stopped"):
            self.outcome.stops += 1


_ZONE = ZoneInfo("Europe/Berlin")


class _Words:
    """Putting things into words is tested by itself, and would take most of the year."""

    def notification(self, notification: Notification, incident: Incident | None = None) -> Message:
        return fallback_message(notification)

    def live(self, incident: Incident, storm: list[StormGroup], *, retold: bool = False) -> Message:
        return Message(spans=(Span(f"{incident.severity}: {incident.kind}"),))


class _Journal:
    """Commits at once while the database is up; otherwise what waits is lost when it is killed."""

    def __init__(self, database: Database, generation: int) -> None:
        self._database = database
        self._waiting: list[Commit] = []
        self.registration = SimpleNamespace(runner_id=generation)
        self.dead = False
        self._subscribers: list[Callable[[], None]] = []

    def subscribe(self, enqueued: Callable[[], None]) -> None:
        self._subscribers.append(enqueued)

    def append(self, commit: Commit) -> None:
        if self.dead:
            return
        self._waiting.append(commit)
        if self._database.up:
            self.flush()

    def flush(self) -> None:
        if self.dead:
            return
        waiting, self._waiting = self._waiting, []
        owed = False
        for commit in waiting:
            self._database.write(commit)
            owed = owed or bool(commit.notifications)
        if owed:
            for enqueued in self._subscribers:
                enqueued()
