"""A failure is in the database before the attempt after it starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dozor.clean_context import CleanContext
from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Every
from dozor.storage.journal import Commit, Journal
from dozor.storage.postgres.pool import Pool
from dozor.supervision import start_gate
from dozor.supervision.core.events import Failed, Pause, Restart, RunNow
from dozor.supervision.core.policy import RestartDelay
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State
from dozor.supervision.execution.cancellation import Canceller
from dozor.supervision.supervisor import Supervisor, Transition
from dozor.supervision.telemetry.log import SupervisionLog
from tests.storage.rows import declare
from tests.supervision.stage import Seen, spec, state_of
from tests.waiting import until

LATER = RestartDelay.fixed(0.05)


class Commits:
    """A log whose commits the test decides."""

    def __init__(self) -> None:
        self.appended = 0
        self.committed = 0
        self._listeners: list[Callable[[int], None]] = []

    def subscribe_commits(self, committed: Callable[[int], None]) -> None:
        self._listeners.append(committed)

    def request_write(self) -> int:
        self.appended += 1
        return self.appended

    def commit(self) -> None:
        self.committed = self.appended
        for listener in self._listeners:
            listener(self.committed)


class Appending(Seen):
    """Appends each transition, as the incident manager does."""

    def __init__(self, commits: Commits) -> None:
        super().__init__()
        self._commits = commits

    def transition(self, transition: Transition) -> None:
        self._commits.appended += 1
        super().transition(transition)


@asynccontextmanager
async def gated(*specs: TaskSpec) -> AsyncIterator[tuple[Supervisor, Appending, Commits]]:
    commits = Commits()
    seen = Appending(commits)
    supervisor = Supervisor(
        specs,
        observer=seen,
        clock=SteadyClock(),
        log=SupervisionLog(),
        grace=0.2,
        canceller=Canceller(seen, patience=0.1),
        commits=commits,
    )
    supervisor.start()
    try:
        yield supervisor, seen, commits
    finally:
        await supervisor.stop()


class Attempts:
    """A checker that fails `failing` times, counting."""

    def __init__(self, failing: int = 10**9) -> None:
        self.count = 0
        self._failing = failing

    async def __call__(self) -> None:
        self.count += 1
        if self.count <= self._failing:
            raise RuntimeError(f"attempt {self.count}")


async def test_the_next_attempt_waits_for_the_commit_of_the_failure() -> None:
    attempts = Attempts()
    async with gated(spec("a", attempts)) as (supervisor, _, commits):
        for number in (1, 2):
            await until(lambda number=number: attempts.count == number)  # type: ignore[misc]
            await asyncio.sleep(0.1)  # ten times the restart delay
            assert attempts.count == number
            waiting = state_of(supervisor, "a")
            assert waiting.state is State.BACKOFF
            assert waiting.running_since is None  # the wait is no part of the run
            commits.commit()
        await until(lambda: state_of(supervisor, "a").state is State.STOPPED)


async def test_a_commit_of_something_older_releases_nothing() -> None:
    attempts = Attempts()
    async with gated(spec("a", attempts)) as (supervisor, _, commits):
        await until(lambda: attempts.count == 1)
        await until(lambda: supervisor._starts._waiting != {})
        for listener in commits._listeners:
            listener(commits.appended - 1)
        await asyncio.sleep(0.05)
        assert attempts.count == 1


async def test_successes_wait_for_nothing() -> None:
    attempts = Attempts(failing=0)
    async with gated(spec("a", attempts)):
        await until(lambda: attempts.count > 20)


async def test_one_task_waiting_holds_no_other_back() -> None:
    failing, well = Attempts(), Attempts(failing=0)
    async with gated(spec("a", failing), spec("b", well)):
        await until(lambda: failing.count == 1)
        before = well.count
        await until(lambda: well.count > before + 20)
        assert failing.count == 1


async def test_a_database_known_to_be_away_ends_the_wait_and_its_return_brings_it_back() -> None:
    attempts = Attempts()
    policy: dict[str, Any] = {"max_consecutive_failures": None}
    async with gated(spec("a", attempts, **policy)) as (supervisor, _, commits):
        await until(lambda: attempts.count == 1)
        await asyncio.sleep(0.05)
        assert attempts.count == 1
        supervisor.dependency_changed(up=False)
        await until(lambda: attempts.count >= 5)
        supervisor.dependency_changed(up=True)
        commits.commit()
        await asyncio.sleep(0.05)
        seen = attempts.count
        await asyncio.sleep(0.1)
        assert attempts.count <= seen + 1  # it waits again


async def test_a_slow_commit_is_not_waited_for_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_gate, "WAIT_SECONDS", 0.3)
    attempts, others = Attempts(), Attempts()
    async with gated(spec("a", attempts), spec("b", others, restart_delay=LATER)):
        await until(lambda: attempts.count == 1 and others.count == 1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await until(lambda: attempts.count == 3 and others.count == 3)
        assert loop.time() - began > 0.5


async def test_a_stop_does_not_wait_and_starts_nothing() -> None:
    attempts = Attempts()
    async with gated(spec("a", attempts)) as (supervisor, _, commits):
        await until(lambda: supervisor._starts._waiting != {})
        loop = asyncio.get_running_loop()
        began = loop.time()
        await supervisor.stop()
        assert loop.time() - began < 1.0
        commits.commit()
        await asyncio.sleep(0.05)
        assert attempts.count == 1


async def test_a_pause_during_the_wait_is_kept() -> None:
    attempts = Attempts()
    async with gated(spec("a", attempts)) as (supervisor, _, commits):
        await until(lambda: supervisor._starts._waiting != {})
        supervisor.command("a", Pause("x"))
        commits.commit()
        await asyncio.sleep(0.05)
        assert attempts.count == 1
        assert state_of(supervisor, "a").state is State.PAUSED


@pytest.mark.parametrize("event", [Restart("x"), RunNow("x")], ids=["restart", "run_now"])
async def test_a_person_starts_a_task_whose_failure_is_not_written(event: Restart | RunNow) -> None:
    attempts = Attempts(failing=1)
    slow = spec("a", attempts, schedule=Every(60.0), restart_delay=LATER)
    async with gated(slow) as (supervisor, seen, commits):
        await until(lambda: len(seen.transitions) == 1)
        assert supervisor.command("a", event)
        await asyncio.sleep(0.2)
        assert attempts.count == 1
        assert state_of(supervisor, "a").runs_total == 1
        commits.commit()
        await until(lambda: attempts.count == 2)
        await until(lambda: state_of(supervisor, "a").state is State.WAITING)
        assert state_of(supervisor, "a").runs_total == 2
        assert state_of(supervisor, "a").failures == 0


async def test_a_restart_asked_for_during_the_failing_run_waits_for_its_commit() -> None:
    release = asyncio.Event()
    calls = 0

    async def checker() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await release.wait()

    one = spec("a", checker, schedule=Every(60.0), timeout=0.2)
    async with gated(one) as (supervisor, seen, commits):
        await until(lambda: calls == 1)
        task = supervisor.find("a")
        assert task is not None
        task.state = task.state._replace(restart_pending=True)
        await until(lambda: any(isinstance(one.event, Failed) for one in seen.transitions))
        await asyncio.sleep(0.1)
        assert calls == 1
        commits.commit()
        await until(lambda: calls == 2)


# -- with the real journal


@pytest.fixture
async def journal(database: str, pool: Pool) -> AsyncIterator[Journal]:
    journal = await Journal.open(database, "test", SteadyClock(), checkpoint_every=0.05)
    await declare(journal, "a", "b")
    yield journal
    journal.abandon()
    await asyncio.sleep(0)


async def test_positions_of_the_journal_are_committed_in_order(journal: Journal) -> None:
    heard: list[int] = []
    journal.subscribe_commits(heard.append)
    journal.append(Commit())
    first = journal.appended
    assert journal.committed < first
    await journal.write()
    assert journal.committed == first
    second = journal.request_write()
    assert second == first + 1
    await journal.write()
    assert heard == [first, second]


async def test_what_is_appended_during_a_write_is_committed_by_the_next(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, entered, go_on = journal._transact, asyncio.Event(), asyncio.Event()

    async def slow(*given: Any) -> None:
        entered.set()
        await go_on.wait()
        await real(*given)

    monkeypatch.setattr(journal, "_transact", slow)
    journal.append(Commit())
    writing = asyncio.create_task(journal.write())
    await entered.wait()
    journal.append(Commit())
    late = journal.appended
    go_on.set()
    await writing
    assert journal.committed == late - 1
    await journal.write()
    assert journal.committed == late


async def test_a_commit_that_frees_many_tasks_does_not_keep_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an unclean end, when every first start waits for its record. A turn makes one start here."""
    monkeypatch.setattr(start_gate, "TURN", -1.0)
    commits, began = Commits(), list[str]()
    supervisor = Supervisor([], observer=Seen(), clock=SteadyClock(), log=SupervisionLog(), commits=commits)
    waiting = [supervisor.task_changes.add(spec(f"t{number}", _nothing), None, 0.0) for number in range(5)]
    gate = start_gate.StartGate(commits, lambda task: began.append(task.spec.name), CleanContext())
    for task in waiting:
        gate.request_write(task)
        assert not gate.admits(task)
    commits.commit()
    assert began == ["t0"]
    await asyncio.sleep(0)
    assert began == ["t0", "t1"]
    await until(lambda: len(began) == 5)
    assert began == [task.spec.name for task in waiting]


async def test_what_a_commit_has_freed_does_not_start_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_gate, "TURN", -1.0)
    commits, began = Commits(), list[str]()
    supervisor = Supervisor([], observer=Seen(), clock=SteadyClock(), log=SupervisionLog(), commits=commits)
    waiting = [supervisor.task_changes.add(spec(f"t{number}", _nothing), None, 0.0) for number in range(3)]
    gate = start_gate.StartGate(commits, lambda task: began.append(task.spec.name), CleanContext())
    for task in waiting:
        gate.request_write(task)
        assert not gate.admits(task)
    commits.commit()
    gate.stop()
    await asyncio.sleep(0.05)
    assert began == ["t0"]


async def _nothing() -> None:
    """A checker that is never called."""
