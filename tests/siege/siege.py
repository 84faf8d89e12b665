"""The besieger: starts everything, plays the plan, and waits until the runner has reported it all."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dozor.config import Config
from dozor.config.imports.checkers import Checker
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.pool import connect, disconnect
from tests.server import PostgresControl
from tests.siege import plan as plans
from tests.siege import truth as truths
from tests.siege.besieged import at_home, live, prepare
from tests.siege.haste import EPOCH, Haste
from tests.siege.places import home_of
from tests.siege.plan import Blow, BlowKind, Death, Moment, Plan
from tests.siege.processes import Board, Cell, Child
from tests.siege.standin import serve
from tests.siege.truth import Truth

SET_UP = 4.0
"""Real seconds before anything breaks."""
REST = 5.0
"""Fast seconds before a runner that ended by itself is started again, as a service manager does."""
MENDING = 60.0
"""Fast seconds in which a runner finds its way back to a database that is back."""
SAY_EVERY = 20.0
LOOK_EVERY = 0.25
"""Real seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`gap`, `longest`, `patience`: fast seconds between breakages, that anything lasts, to tell it all."""

    incidents: int
    kills: int
    tasks: int
    seed: int
    speed: float
    gap: float = 12.0
    longest: float = 3000.0
    patience: float = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Outage:
    """What was done to PostgreSQL, and when it answered again; fast seconds since the epoch."""

    kind: BlowKind
    began: float
    ended: float


@dataclass(slots=True)
class Chronicle:
    """What happened, as the besieger saw it. Times are fast seconds since the epoch."""

    haste: Haste
    truth: Truth
    plan: Plan
    deaths: list[float] = field(default_factory=list)
    births: list[float] = field(default_factory=list)
    at_calls: int = 0
    false_starts: int = 0
    """Runners that ended by themselves while PostgreSQL was away, as a service manager's would."""
    ended: list[str] = field(default_factory=list)
    """Other runners that ended by themselves."""
    outages: list[Outage] = field(default_factory=list)
    drained_at: float | None = None
    """None: not within the patience."""
    left: int = 0
    """Of what is to be told, or over, then."""
    took: float = 0.0
    """Real seconds."""


class Siege:
    """In `folder`, which holds everything afterwards. Not in a process with threads: it forks."""

    def __init__(self, folder: Path, options: Options, say: Callable[[str], None]) -> None:
        self.folder, self._options, self._say = folder, options, say
        self.seen_file, self.log = folder / "seen.pickle", folder / "runner.log"
        self.console = folder / "console.txt"
        self._control = PostgresControl(folder / "pg")
        self._board = Board()
        self._standin: Child | None = None
        self._runner: Child | None = None
        self._away = False
        self._nap = threading.Event()

    @property
    def dsn(self) -> str:
        return self._control.dsn

    def run(self) -> Chronicle:
        """To the end; the database still runs afterwards, until `close`."""
        began = time.monotonic()
        options = self._options
        haste = Haste.begin(options.speed)
        luck, begins = random.Random(options.seed), SET_UP * options.speed
        truth = truths.make(
            options.incidents,
            luck,
            tasks=options.tasks,
            begins=begins,
            gap=options.gap,
            longest=options.longest,
        )
        plan = plans.make(begins, truth.ends, options.kills, luck, longest=options.longest / 10)
        self._chronicle = Chronicle(haste, truth, plan)
        self._haste = haste
        _finish(Child(lambda: asyncio.run(_furnish(self.dsn, haste.database_clock()))))
        self._standin = Child(lambda: serve(haste, plan, self._board, self.seen_file))
        deadline = time.monotonic() + 30
        while self._board[Cell.PORT] == 0 and time.monotonic() < deadline:
            self._nap.wait(0.01)
        config, checkers = prepare(truth, self.dsn, self._board[Cell.PORT], self.folder)
        gc.collect()
        gc.freeze()
        self._besiege(plan, config, checkers)
        self._end()
        self._chronicle.took = time.monotonic() - began
        return self._chronicle

    def close(self) -> None:
        """End every process of ours."""
        for child in (self._runner, self._standin):
            if child is not None and child.code is None:
                child.signal(signal.SIGKILL)
                child.wait(10)
        self._control.thaw()
        self._control.stop()

    # -- the siege

    def _besiege(self, plan: Plan, config: Config, checkers: dict[str, Checker]) -> None:
        chronicle, haste = self._chronicle, self._haste
        at_any = [death for death in plan.deaths if death.moment is Moment.ANY][::-1]
        at_calls = [death for death in plan.deaths if death.moment is not Moment.ANY][::-1]
        blows = list(plan.blows)[::-1]
        birth: float | None = haste.seconds()
        mending: tuple[float, Blow, float] | None = None
        give_up = chronicle.truth.ends + self._options.patience
        said = time.monotonic()
        while True:
            now = haste.seconds()
            if time.monotonic() - said > SAY_EVERY:
                said = time.monotonic()
                self._tell(now)
            if mending is not None and now >= mending[0]:
                self._mend(mending[1], mending[2])
                mending = None
            elif mending is None and blows and now >= blows[-1].at:
                mending = self._strike(blows.pop(), now)
            if self._runner is None and birth is not None and now >= birth:
                here = at_home(config, home_of(len(chronicle.births)))
                chronicle.births.append(haste.now())
                self._runner = Child(
                    lambda here=here: live(  # type: ignore[misc]
                        here, checkers, haste, chronicle.truth, self._board, self.log, self.console
                    )
                )
                birth = None
            if self._runner is not None and at_any and now >= at_any[-1].at:
                birth = now + self._kill(at_any.pop())
            elif self._runner is not None and self._runner.wait(0):
                birth = now + self._died(at_calls)
            if now > chronicle.truth.ends and mending is None and self._board[Cell.DRAINED]:
                chronicle.drained_at = haste.now()
                return
            if now > give_up:
                return
            due = [one for one in (birth, mending and mending[0], at_any and at_any[-1].at) if one]
            due += [blows[-1].at] if blows and mending is None else []
            self._wait(min([(at - haste.seconds()) / haste.speed for at in due], default=LOOK_EVERY))

    def _wait(self, seconds: float) -> None:
        """Real ones; less if the runner ends."""
        seconds = min(max(seconds, 0.0), LOOK_EVERY)
        if self._runner is None:
            self._nap.wait(seconds)
        else:
            self._runner.wait(seconds)

    def _strike(self, blow: Blow, now: float) -> tuple[float, Blow, float] | None:
        """Until when it lasts, and since when; None: it is over at once."""
        began = self._haste.now()
        match blow.kind:
            case BlowKind.KILLED:
                self._control.kill()
            case BlowKind.FROZEN:
                self._control.freeze()
            case BlowKind.SESSIONS_ENDED:
                self._control.end_sessions()
            case BlowKind.BACKEND_KILLED:
                self._control.kill_session()
        if blow.kind in (BlowKind.KILLED, BlowKind.FROZEN):
            self._away = True
            return now + blow.seconds, blow, began
        self._chronicle.outages.append(Outage(blow.kind, began, self._haste.now()))
        return None

    def _mend(self, blow: Blow, began: float) -> None:
        if blow.kind is BlowKind.KILLED:
            self._control.start()
        else:
            self._control.thaw()
        self._away = False
        self._chronicle.outages.append(Outage(blow.kind, began, self._haste.now()))

    def _kill(self, death: Death) -> float:
        """Seconds until the next one is born."""
        assert self._runner is not None
        self._runner.signal(signal.SIGKILL)
        self._runner.wait(10)
        if self._runner.code != -signal.SIGKILL:
            return self._died([])
        return self._buried(death.down)

    def _died(self, at_calls: list[Death]) -> float:
        """By the stand-in's hand, or by itself."""
        assert self._runner is not None
        if self._runner.code == -signal.SIGKILL and at_calls:
            self._chronicle.at_calls += 1
            return self._buried(at_calls.pop().down)
        now, outages = self._haste.now(), self._chronicle.outages
        if self._away or (outages and now - outages[-1].ended < MENDING):
            self._chronicle.false_starts += 1
            return self._buried(REST)
        said = self.console.read_text(errors="replace").strip().rpartition("\n")[2]
        self._chronicle.ended.append(f"code {self._runner.code} at {now:.0f}: {said}")
        return self._buried(REST)

    def _buried(self, down: float) -> float:
        self._board[Cell.RUNNER] = 0
        self._chronicle.deaths.append(self._haste.now())
        self._runner = None
        return down

    def _tell(self, now: float) -> None:
        chronicle = self._chronicle
        at = now / chronicle.truth.ends
        left = f", {self._board[Cell.LEFT]} left to tell" if at > 1 else ""
        self._say(
            f"{100 * min(at, 1):3.0f} % of {chronicle.truth.ends / 3600:.1f} h, "
            f"{len(chronicle.deaths)} kills, {len(chronicle.outages)} blows to PostgreSQL{left}"
        )

    def _end(self) -> None:
        """Everybody puts down what they have."""
        self._control.thaw()
        self._control.start()
        self._chronicle.left = self._board[Cell.LEFT]
        for name, child in (("runner", self._runner), ("stand-in", self._standin)):
            if child is None:
                continue
            child.signal(signal.SIGTERM)
            if not child.wait(60) or child.code != 0:
                self._chronicle.ended.append(f"{name} ended with {child.code} when asked to")


def _finish(child: Child) -> None:
    if not child.wait(120) or child.code != 0:
        raise RuntimeError(f"the set-up ended with {child.code}")


async def _furnish(dsn: str, clock: str) -> None:
    """The database, its clock first."""
    connection = await connect(dsn)
    # A killed server loses nothing by this, a machine without power would.
    await connection.execute("ALTER SYSTEM SET fsync = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.execute(clock)
    await disconnect(connection)
    await migrate(dsn)


def epoch(at: float) -> float:
    """Fast seconds since the beginning as fast seconds since the epoch."""
    return EPOCH + at
