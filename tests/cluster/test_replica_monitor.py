"""Which replicas count as lost, and what is said of them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from dozor.app.replica_monitor import lost_replicas
from dozor.cluster.replicas import ReplicaRole, ReplicaRow


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
