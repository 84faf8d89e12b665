"""Routes: the destinations of a message, by task and severity. "" is the chat of the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dozor.alerting.model.notification import SEVERITY_RANK
from dozor.config.values.incident_kinds import Severity

_KEY = re.compile(r"(-?[0-9]{1,16})(?::([0-9]{1,10}))?", re.ASCII)


def parse_destination(key: str) -> tuple[int, int | None] | None:
    """Chat id and topic id; None if `key` is no such destination."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    return int(match[1]), None if match[2] is None else int(match[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A destination and the messages it gets. `tasks` None: of all tasks, and of the runner itself."""

    destination: str
    tasks: frozenset[str] | None = None
    min_severity: Severity = Severity.INFO

    def takes(self, task: str | None, severity: Severity) -> bool:
        if SEVERITY_RANK[severity] < SEVERITY_RANK[self.min_severity]:
            return False
        return self.tasks is None or task in self.tasks


class Routing:
    """The chat of the configuration gets everything, each other chat what its route selects."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._routes = tuple(routes)

    def __call__(self, task: str | None, severity: Severity) -> tuple[str, ...]:
        others = [route.destination for route in self._routes if route.takes(task, severity)]
        return tuple(dict.fromkeys(["", *others]))
