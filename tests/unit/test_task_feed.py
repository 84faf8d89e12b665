"""Which changes of tasks are sent to a page."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import FailureRecord, State, TaskState
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask
from dozor.web.page.feed import HEALTHY_EVERY, TaskFeed


async def nothing() -> None: ...


class Tasks:
    """What the feed asks of a supervisor."""

    def __init__(self, *names: str) -> None:
        self.by_name = {
            name: SupervisedTask(TaskSpec(name=name, function=nothing), index, TaskState())
            for index, name in enumerate(names)
        }

    @property
    def tasks(self) -> tuple[SupervisedTask, ...]:
        return tuple(self.by_name.values())

    def find(self, name: str) -> SupervisedTask | None:
        return self.by_name.get(name)


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        self.at += 1.0
        return self.at


def feed_of(*names: str) -> tuple[TaskFeed, Tasks, Clock]:
    tasks, clock = Tasks(*names), Clock()
    feed = TaskFeed(cast(Supervisor, tasks), clock, 7)
    feed.look()
    return feed, tasks, clock


def told(feed: TaskFeed, token: str) -> tuple[list[str], list[str]]:
    """Names of changed and of removed tasks."""
    feed.look()
    changes = feed.since(token)
    assert changes is not None
    return [task.spec.name for task in changes.tasks], list(changes.removed)


def test_a_failure_is_told_at_once_and_once() -> None:
    feed, tasks, _ = feed_of("one", "two")
    token = feed.token()
    assert told(feed, token) == ([], [])
    tasks.by_name["two"].state = TaskState(state=State.BACKOFF, failures=1)
    assert told(feed, token) == (["two"], [])
    assert told(feed, feed.token()) == ([], [])


def test_runs_of_a_healthy_task_are_told_now_and_then_and_the_last_is_not_lost() -> None:
    feed, tasks, clock = feed_of("quick")
    token = feed.token()
    tasks.by_name["quick"].state = last = TaskState(runs_total=2)
    assert told(feed, token) == ([], []), "too soon after the last one"
    clock.at += HEALTHY_EVERY
    assert told(feed, token) == (["quick"], [])
    assert tasks.by_name["quick"].state is last


def test_what_becomes_overdue_or_gets_another_spec_has_changed() -> None:
    feed, tasks, clock = feed_of("one")
    token = feed.token()
    tasks.by_name["one"].overdue = True
    assert told(feed, token) == (["one"], [])
    token = feed.token()
    tasks.by_name["one"].spec = replace(tasks.by_name["one"].spec, description="new")
    clock.at += HEALTHY_EVERY
    assert told(feed, token) == (["one"], [])


def test_a_removed_task_is_told_and_may_come_back() -> None:
    feed, tasks, _ = feed_of("one", "two")
    token = feed.token()
    two = tasks.by_name.pop("two")
    assert told(feed, token) == ([], ["two"])
    tasks.by_name["two"] = two
    assert told(feed, token) == (["two"], [])


def test_a_page_of_another_process_takes_everything_anew() -> None:
    feed, _, _ = feed_of("one")
    for token in ("", "8.1", "7.999", "7.x", "7.", ".1", "7.-1", "7.1.1", "7.٣"):
        assert feed.since(token) is None, token
    assert feed.since("7.0") is not None


def test_a_failing_task_that_fails_again_is_told_each_time() -> None:
    feed, tasks, _ = feed_of("one")
    for failures in (1, 2, 3):
        token = feed.token()
        tasks.by_name["one"].state = TaskState(
            state=State.BACKOFF, failures=failures, failure_record=FailureRecord(failures_total=failures)
        )
        assert told(feed, token) == (["one"], [])
