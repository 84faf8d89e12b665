"""Runs the stages of the notification pipeline in their order."""

from __future__ import annotations

from dozor.alerting.incidents.pipeline.acknowledge import acknowledge
from dozor.alerting.incidents.pipeline.dedup import dedup
from dozor.alerting.incidents.pipeline.group import Group
from dozor.alerting.incidents.pipeline.inhibit import Inhibit
from dozor.alerting.incidents.pipeline.mute import Mute
from dozor.alerting.incidents.pipeline.stage import Candidate, Held, Stage


class Pipeline:
    """The order is fixed: a message is muted only if it is news, and counts for a storm only if not muted."""

    def __init__(self, inhibit: Inhibit, mute: Mute, group: Group) -> None:
        self.inhibit, self.mute, self.group = inhibit, mute, group
        self.stages: tuple[Stage, ...] = (dedup, inhibit, mute, group, acknowledge)

    def decide(self, candidate: Candidate) -> Candidate | Held:
        """The message as it is to be sent (`kind` None: there is none), or what holds it."""
        for stage in self.stages:
            answer = stage(candidate)
            if isinstance(answer, Held):
                return answer
            candidate = answer
        return candidate
