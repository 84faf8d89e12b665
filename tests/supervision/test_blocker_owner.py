"""Which task a blocked loop is put down to, by the file of a function."""

from __future__ import annotations

import pytest

from dozor.clock import SteadyClock
from dozor.config.sections.supervision import LimitsConfig, SupervisionConfig
from dozor.supervision.monitoring.monitors import Monitors
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.observer import NullTroubleListener
from tests.supervision.stage import Seen, spec
from tests.waiting import until


async def nothing() -> None:
    pass


async def test_the_only_task_of_a_file_is_its_owner_and_tasks_are_not_read_for_each_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The watchdog asks for each frame of each look, 20 looks a second, while the loop is late."""
    reads = 0

    def tasks(self: Supervisor) -> tuple[SupervisedTask, ...]:
        nonlocal reads
        reads += 1
        return self.registry.tasks

    supervisor = Supervisor(
        [spec("one", nothing), spec("two", nothing), spec("alone", until)],
        observer=Seen(),
        clock=SteadyClock(),
        log=SupervisionLog(),
    )
    monkeypatch.setattr(Supervisor, "tasks", property(tasks))
    monitors = Monitors(
        supervisor,
        NullTroubleListener(),
        SteadyClock(),
        None,
        probes=None,
        checkers=None,
        starved_after=1.0,
        rules=SupervisionConfig(),
        limits=LimitsConfig(),
        dependencies={},
        redact=str,
        alarm=lambda trouble: None,
    )
    asked = [monitors._owner(until.__code__.co_filename) for _ in range(2_000)]
    assert set(asked) == {"alone"}
    assert monitors._owner(__file__) is None
    assert monitors._owner("nobody.py") is None
    assert reads < 100
