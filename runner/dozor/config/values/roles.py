"""What a process of a cluster may do: `dozor run --role`."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """`all`: lead when no other process does, and take runs of pools; the others: only one of the two."""

    ALL = "all"
    LEADER = "leader"
    WORKER = "worker"
