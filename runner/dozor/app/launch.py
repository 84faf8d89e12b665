"""What child processes are started with: the same for a leader's runs and for a worker's."""

from __future__ import annotations

from dozor.config import Config
from dozor.config.imports.environment import withheld_names
from dozor.process.child_deadlines import ChildDeadlines
from dozor.supervision.execution.process.client import Launch
from dozor.supervision.runs.resources import ResourcePlan


def launch_of(config: Config, plan: ResourcePlan, *, dsn: str, deadlines: ChildDeadlines | None) -> Launch:
    """`plan`: what runs of `config` are given. `deadlines`: see `Launch`."""
    sizes = config.database.pools
    return Launch(
        dsn=dsn,
        folder=config.path.parent,
        pool_size=sizes.process,
        acquire_timeout=sizes.acquire_timeout,
        withheld=withheld_names(config.filled),
        resources=plan,
        deadlines=deadlines,
    )
