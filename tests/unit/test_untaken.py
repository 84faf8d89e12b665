"""Which pools and tasks are reported for runs that no worker takes."""

from __future__ import annotations

from dozor.cluster.untaken import NOT_TAKEN_AFTER, Untaken
from dozor.storage.tables.pool_runs import PoolLoad, PoolRunState
from dozor.supervision.telemetry.observer import Trouble, TroubleKind


class Seen:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, str | None, float | None, int | None]] = []

    def raised(self, trouble: Trouble) -> None:
        self._note("raised", trouble)

    def changed(self, trouble: Trouble) -> None:
        raise AssertionError("never used")

    def cleared(self, trouble: Trouble) -> None:
        self._note("cleared", trouble)

    def _note(self, what: str, trouble: Trouble) -> None:
        assert trouble.kind is TroubleKind.NO_WORKER
        self.said.append((what, trouble.subject, trouble.task, trouble.seconds, trouble.count))

    def take(self) -> list[tuple[str, str, str | None, float | None, int | None]]:
        said, self.said = self.said, []
        return said


def queued(pool: str, waited: float, count: int = 3) -> PoolLoad:
    return PoolLoad(pool, PoolRunState.QUEUED, count, waited)


def running(pool: str, claimed: float) -> PoolLoad:
    return PoolLoad(pool, PoolRunState.RUNNING, 1, claimed)


def test_a_pool_is_reported_once_and_cleared_when_a_run_is_claimed() -> None:
    seen = Seen()
    untaken = Untaken(seen)
    untaken.judge_pools([queued("gpu", NOT_TAKEN_AFTER - 1), queued("default", 1)], 0.0)
    assert seen.take() == []
    for _ in range(2):
        untaken.judge_pools([queued("gpu", NOT_TAKEN_AFTER), running("gpu", NOT_TAKEN_AFTER)], 0.0)
    assert seen.take() == [("raised", "gpu", None, NOT_TAKEN_AFTER, 3)]
    untaken.judge_pools([queued("gpu", 2 * NOT_TAKEN_AFTER), running("gpu", 0.1)], 0.0)
    assert seen.take() == [("cleared", "gpu", None, 0.0, 0)]
    untaken.judge_pools([queued("gpu", NOT_TAKEN_AFTER)], 0.0)
    untaken.judge_pools([], 0.0)
    assert [what for what, *_ in seen.take()] == ["raised", "cleared"]


def test_a_busy_pool_whose_queue_is_long_is_not_reported() -> None:
    seen = Seen()
    Untaken(seen).judge_pools([queued("gpu", 10 * NOT_TAKEN_AFTER), running("gpu", NOT_TAKEN_AFTER - 1)], 0.0)
    assert seen.take() == []


def test_a_pool_whose_runs_end_between_two_looks_is_not_reported() -> None:
    seen = Seen()
    untaken = Untaken(seen)
    untaken.ended("gpu", 0.0, 5.0)
    untaken.judge_pools([queued("gpu", 10 * NOT_TAKEN_AFTER)], NOT_TAKEN_AFTER + 4)
    assert seen.take() == []
    untaken.judge_pools([queued("gpu", 10 * NOT_TAKEN_AFTER)], NOT_TAKEN_AFTER + 5)
    assert [what for what, *_ in seen.take()] == ["raised"]


def test_a_run_is_passed_over_when_a_much_later_one_of_its_pool_has_ended() -> None:
    untaken = Untaken(Seen())
    assert not untaken.may_be_passed_over("gpu", 0.0)
    untaken.ended("gpu", NOT_TAKEN_AFTER - 1, 0.0)
    assert not untaken.may_be_passed_over("gpu", 0.0)
    untaken.ended("gpu", NOT_TAKEN_AFTER, 0.0)
    untaken.ended("gpu", 1.0, 0.0)  # an older one that took longer
    assert untaken.may_be_passed_over("gpu", 0.0)
    assert not untaken.may_be_passed_over("gpu", 1.0)
    assert not untaken.may_be_passed_over("default", 0.0)


def test_a_task_is_reported_once_and_cleared_when_its_run_is_taken() -> None:
    seen = Seen()
    untaken = Untaken(seen)
    for waited in (61.0, 62.0):
        untaken.judge_tasks({"a": waited})
    assert seen.take() == [("raised", "a", "a", 61.0, None)]
    untaken.judge_tasks({"b": 60.0})
    assert seen.take() == [("raised", "b", "b", 60.0, None), ("cleared", "a", "a", 0.0, None)]
