"""Which replicas count as lost, and the texts about them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from dozor.alerting.incidents.manager import IncidentManager
from dozor.app.leading import replica_monitor
from dozor.app.leading.replica_monitor import (
    LEASE,
    ReplicaMonitor,
    UsedConfigurations,
    clocks_off,
    differing_configurations,
    late_renewals,
    lost_replicas,
)
from dozor.app.surroundings import config_digest
from dozor.cluster.renewals import WINDOW
from dozor.cluster.replicas import ReplicaRole, ReplicaRow, refused_digest
from dozor.cluster.trust_window import TrustWindow
from dozor.cluster.view import ClusterView
from dozor.config import Config
from dozor.config.loading import load
from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.queries.cluster import ClusterReport, cluster_line
from dozor.language import Language, Translator


def row(name: str, **more: Any) -> ReplicaRow:
    fields: dict[str, Any] = {
        "id": uuid4(),
        "name": name,
        "role": ReplicaRole.STANDBY,
        "epoch": None,
        "host": name,
        "pid": 1,
        "version": "1",
        "started_at": 1000.0,
        "role_since": 1000.0,
        "silent_for": 0.5,
        "beats_every": 1.0,
        "config_digest": "",
        "clock_offset": 0.0,
        "pools": ("default",),
        "slots": 20,
        "running": 3,
        **more,
    }
    return ReplicaRow(**fields)


def test_one_that_is_silent_for_three_beats_is_lost_and_its_runs_are_named() -> None:
    rows = (row("a"), row("b", silent_for=4.0), row("w", role=ReplicaRole.WORKER, silent_for=9.0))
    lost = lost_replicas(rows)
    assert set(lost) == {"b", "w"}
    assert "3" in lost["w"]


def test_a_lost_leader_is_reported_as_an_unclean_end_instead() -> None:
    assert not lost_replicas((row("a", role=ReplicaRole.LEADER, silent_for=60.0),))


def test_one_that_has_come_back_on_its_host_is_not_lost() -> None:
    gone, back = row("h-1", host="h", silent_for=60.0), row("h-2", host="h", started_at=2000.0)
    assert not lost_replicas((gone, back))
    assert set(lost_replicas((gone, row("h-0", host="h", started_at=10.0)))) == {"h-1"}


def test_a_configuration_that_the_leader_never_used_is_named_and_one_from_before_a_reload_is_not() -> None:
    rows = (
        row("leader", role=ReplicaRole.LEADER, config_digest="start"),
        row("old", config_digest="start"),
        row("new", config_digest="reloaded"),
        row("other", config_digest="x", role=ReplicaRole.WORKER),
        row("lost", config_digest="x", silent_for=60.0),
    )
    assert set(differing_configurations(rows, {"start", "reloaded"})) == {"other"}


def test_a_clock_is_off_from_two_seconds_in_either_direction() -> None:
    rows = (
        row("leader", role=ReplicaRole.LEADER, clock_offset=2.0),
        row("behind", clock_offset=-3600.0),
        row("well", clock_offset=1.9),
        row("lost", clock_offset=9.0, silent_for=60.0),
    )
    off = clocks_off(rows)
    assert set(off) == {"leader", "behind"}
    assert "-3600.0" in off["behind"]


@dataclass(frozen=True)
class Open:
    kind: IncidentKind
    fingerprint: str


@dataclass
class Incidents:
    """In place of the incident manager."""

    open_incidents: list[Open] = field(default_factory=list)

    def open_incident(self, kind: IncidentKind, subject: str, _data: object) -> None:
        self.open_incidents.append(Open(kind, subject))

    def resolve_incident(self, kind: IncidentKind, subject: str) -> None:
        self.open_incidents.remove(Open(kind, subject))


def test_what_lasts_is_reported_and_closed_and_what_passes_is_not() -> None:
    now, incidents, view = 0.0, Incidents(), ClusterView()
    monitor = ReplicaMonitor(cast("IncidentManager", incidents), view, UsedConfigurations("a"), lambda: now)
    wrong = row("b", config_digest="x", clock_offset=5.0)
    view.replicas = (wrong,)
    monitor.look()
    now = 9.0
    monitor.look()
    assert not incidents.open_incidents
    now = 10.0
    monitor.look()
    assert incidents.open_incidents == [Open(IncidentKind.REPLICA_CLOCK, "b")]
    now = 60.0
    monitor.look()
    assert Open(IncidentKind.REPLICA_CONFIG, "b") in incidents.open_incidents
    view.replicas = (row("b", config_digest="a"),)
    monitor.look()
    assert not incidents.open_incidents
    view.replicas = (wrong,)
    monitor.look()
    assert not incidents.open_incidents


def test_late_renewals_are_seen_at_once_and_reported_when_they_repeat() -> None:
    now, incidents = 0.0, Incidents()
    window = TrustWindow(15.0, now=lambda: now)
    view = ClusterView(window=window, leads=True, epoch=7)
    view.replicas = (row("b", role=ReplicaRole.LEADER, epoch=7),)
    monitor = ReplicaMonitor(cast("IncidentManager", incidents), view, UsedConfigurations(""), lambda: now)

    def renew_after(seconds: float) -> None:
        nonlocal now
        now += seconds
        monitor.look()
        window.extend(now)
        monitor.look()

    window.extend(now)
    for _ in range(5):
        renew_after(5.5)  # a third of the lease, and a little
    assert window.renewals.late_total == 0
    now += 7.0
    late = view.unrenewed_for
    assert late == 7.0
    assert window.trusted
    monitor.look()
    assert not incidents.open_incidents, "once is no incident"
    renew_after(0.0)
    assert window.renewals.unrenewed_for(now) is None
    renew_after(8.0)
    assert len(incidents.open_incidents) == 0
    renew_after(9.0)
    assert incidents.open_incidents == [Open(IncidentKind.LATE_RENEWAL, LEASE)]
    [text] = late_renewals(view, now, reported=True).values()
    assert "9.0" in text
    assert "b" in text
    while now <= 27.5 + 24.0 + WINDOW:
        renew_after(5.0)
    assert not incidents.open_incidents
    assert window.renewals.late_total == 3


def test_the_incident_of_a_former_leader_ends_with_the_next_one() -> None:
    incidents = Incidents([Open(IncidentKind.LATE_RENEWAL, LEASE)])
    window = TrustWindow(15.0, now=lambda: 0.0)
    view = ClusterView(window=window, leads=True, epoch=8)
    view.replicas = (row("c", role=ReplicaRole.LEADER, epoch=8),)
    ReplicaMonitor(cast("IncidentManager", incidents), view, UsedConfigurations(""), lambda: 0.0).look()
    assert not incidents.open_incidents


def test_a_new_term_of_the_same_process_is_no_late_renewal() -> None:
    now = 0.0
    window = TrustWindow(15.0, now=lambda: now)
    window.extend(0.0)
    window.close()
    now = 100.0
    assert window.renewals.unrenewed_for(now) is None
    window.extend(now)
    assert window.renewals.late_total == 0


async def test_digests_of_reloads_are_computed_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 10,000 tasks they take a quarter of a second, in which the loop of the leader goes on."""
    path = tmp_path / "config.yaml"
    path.write_text("language: en\ntasks:\n  t: {run: 'some:check', every: 1m}\n")
    threads: list[int] = []

    def digest(config: Config) -> str:
        threads.append(threading.get_ident())
        return config_digest(config)

    monkeypatch.setattr(replica_monitor, "config_digest", digest)
    used, config = UsedConfigurations("first"), load(path)
    used.use(config)
    assert used.digests == {"first"}
    await used.catch_up()
    assert used.digests == {"first", config_digest(config)}
    await used.catch_up()
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_a_refused_file_is_reported_with_what_is_wrong_even_if_the_leader_has_the_same() -> None:
    refused = refused_digest(
        ["config.yaml:3: tasks.t.run: no module 'shop'", "config.yaml:9: nonsense: unknown"]
    )
    rows = (
        row("a", role=ReplicaRole.LEADER, config_digest=refused),
        row("b", config_digest=refused),
        row("w", role=ReplicaRole.WORKER, config_digest=refused),
        row("lost", config_digest=refused, silent_for=60.0),
    )
    found = differing_configurations(rows, {"start"})
    assert found.keys() == {"b", "w"}
    assert "no module 'shop'" in found["w"]
    assert "nonsense" in found["w"]
    report = ClusterReport(7, 0.0, rows)
    line = cluster_line(report, Translator(Language.EN), lambda at: "12:04")
    assert "invalid configuration file: a, b, w" in line
    assert report.to_json()["replicas"][1]["config_problem"].startswith("config.yaml:3")


def test_what_is_wrong_with_a_file_is_cut_to_a_length_that_a_heartbeat_can_carry() -> None:
    problem = row("w", config_digest=refused_digest(["x" * 10_000])).config_problem
    assert problem is not None
    assert len(problem) == 500
    assert row("w", config_digest="0123abcd").config_problem is None
