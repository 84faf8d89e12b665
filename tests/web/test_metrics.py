"""The figures of /metrics after known runs, in a text that Prometheus reads."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from prometheus_client.parser import text_string_to_metric_families

from dozor.clock import SteadyClock
from dozor.supervision.core.events import Restart
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.metrics import RUN_BOUNDS, Histogram, RunMetrics
from dozor.supervision.telemetry.observer import Observer
from dozor.web.metrics.tasks import TaskMetrics, escape
from dozor.web.sources import Sources
from tests.programs import require
from tests.waiting import until
from tests.web.site import Site, Work, open_site

TASKS = """
good: {run: 'm:f', every: 50ms, overdue_after: 1h}
bad: {run: 'm:f', every: 20ms, restart_delay: 20ms, max_consecutive_failures: 3, alerts: {repeated_errors: 2}}
"""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(site: Site) -> Samples:
    status, text = await site.get("/metrics")
    assert status == 200
    return parse(text)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def test_every_promised_series_tells_what_has_happened(
    database: str, tmp_path: Path, work: Work
) -> None:
    bad = Work()
    bad.error = ValueError("no")
    checkers = {"good": work.run, "bad": bad.run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS) as site:
        supervisor = site.runner.supervisor
        task = supervisor.find("bad")
        assert task is not None
        await until(lambda: task.state.state is State.STOPPED and work.runs > 3)
        attempts = site.runner._deliveries.attempts
        await until(lambda: attempts["critical_stop", "delivered"] > 0)
        stopped = await scrape(site)
        bad.error = None
        supervisor.command("bad", Restart("test"))
        await until(lambda: task.state.failure_record.failing_since is None)
        after = await scrape(site)

    assert value(stopped, "dozor_task_runs_total", task="bad", outcome="failed") == 3
    assert value(stopped, "dozor_task_runs_total", task="bad", outcome="succeeded") == 0
    assert value(stopped, "dozor_task_runs_total", task="good", outcome="succeeded") >= 3
    assert value(stopped, "dozor_task_run_seconds_count", task="bad") == 3
    assert value(stopped, "dozor_task_run_seconds_bucket", task="bad", le="+Inf") == 3
    assert value(stopped, "dozor_task_consecutive_failures", task="bad") == 3
    assert value(stopped, "dozor_task_critical_stops_total", task="bad") == 1
    assert value(stopped, "dozor_task_critical_stops_total", task="good") == 0
    states = {state: value(stopped, "dozor_task_state", task="bad", state=state.value) for state in State}
    assert states == {state: float(state is State.STOPPED) for state in State}
    assert ("dozor_task_last_success_timestamp_seconds", frozenset({("task", "bad")})) not in stopped
    assert value(stopped, "dozor_incidents_open", severity="critical") == 1
    assert value(stopped, "dozor_task_overdue_seconds", task="good") == 0

    assert value(after, "dozor_task_recovery_seconds_count", task="bad") == 1
    assert 0 < value(after, "dozor_task_recovery_seconds_sum", task="bad") < 30
    assert value(after, "dozor_task_last_success_timestamp_seconds", task="bad") > 1.7e9
    assert value(after, "dozor_task_lateness_seconds_count") >= 6
    assert value(after, "dozor_alerts_total", kind="critical_stop", outcome="delivered") == 1
    assert value(after, "dozor_alert_latency_seconds_count") >= 1
    assert value(after, "dozor_alert_oldest_pending_seconds") >= 0
    assert value(after, "dozor_alerts_pending") >= 0
    assert value(after, "dozor_event_loop_lag_seconds") >= 0
    assert any(name == "dozor_build_info" for name, _ in after)
    assert any(name == "process_resident_memory_bytes" for name, _ in after)


async def test_the_text_passes_promtool(database: str, tmp_path: Path, work: Work) -> None:
    promtool = require("prometheus", "promtool")
    checkers = {"good": work.run, "bad": work.run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS) as site:
        await until(lambda: work.runs > 2)
        _, text = await site.get("/metrics")
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_histogram_counts_what_is_at_most_its_bound() -> None:
    histogram = Histogram((1.0, 5.0))
    for seconds in (0.2, 1.0, 1.1, 5.0, 99.0):
        histogram.observe(seconds)
    assert histogram.cumulative() == [2, 4, 5]
    assert histogram.sum == 106.3


def test_the_bounds_of_runs_grow() -> None:
    assert sorted(set(RUN_BOUNDS)) == list(RUN_BOUNDS)


def test_a_label_cannot_end_its_quotes() -> None:
    assert escape('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_ten_thousand_tasks_are_told_in_pieces_that_hold_nobody_up() -> None:
    """In processor time of this thread, so that a busy machine does not matter: goals are 1 s and 20 ms."""

    async def nothing() -> None:
        return

    names = [f"task_{number:05}" for number in range(10_000)]
    measures = RunMetrics(len(names))
    supervisor = Supervisor(
        [TaskSpec(name=name, function=nothing) for name in names],
        observer=cast(Observer, None),
        clock=SteadyClock(),
        log=SupervisionLog(),
    )
    for task in supervisor.tasks:
        measures.succeeded(task, 0.002, 0.001)
    sources = SimpleNamespace(supervisor=supervisor, measures=measures, clock=SteadyClock())
    pieces = TaskMetrics(cast(Sources, sources)).pieces()
    took, size = [], 0
    while True:
        began = time.thread_time()
        piece = next(pieces, None)
        took.append(time.thread_time() - began)
        if piece is None:
            break
        size += len(piece)
    assert size > 10_000_000
    assert sum(took) < 1.0
    assert max(took) < 0.02
