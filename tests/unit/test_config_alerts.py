"""The sections `alerts` and `oncall`: what they accept, and the errors for the rest."""

from __future__ import annotations

from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from dozor.config import Config, load
from dozor.config.sections.alerts import ALERT_KINDS, SEVERITIES
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.control.alert_settings import oncall, quiet_hours, routing, settings
from dozor.errors import ConfigError
from dozor.language import Language

TASKS = {"a": {"run": "json:loads", "every": "1m", "alerts": {"severity": {"overdue": "critical"}}}}


def read(tmp_path: Path, **sections: Any) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"tasks": TASKS, **sections}, allow_unicode=True), "utf-8")
    return load(path, language=Language.EN)


def test_the_words_are_those_of_the_alerting_package() -> None:
    assert set(ALERT_KINDS) == set(IncidentKind)
    assert set(SEVERITIES) == set(Severity)


def test_everything_given_arrives_where_it_is_used(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        timezone="Europe/Moscow",
        alerts={
            "severity": {"repeated_errors": "critical"},
            "quiet_hours": "23:00-08:00",
            "all_clear_at": "09:30",
            "escalate": [{"after": "15m"}, {"after": "1h", "to": "everybody"}],
            "chats": [{"chat": "-1001234567890:17", "tasks": ["a"], "min_severity": "critical"}],
            "second_channel": {"urls": ["ntfy://topic"], "after": "2m"},
            "heartbeat": {"url": "https://hc.example/ping"},
        },
        oncall={
            "people": {"ann": {"chat": 111, "mention": "@ann"}, "bob": 222},
            "rotation": {"people": ["ann", "bob"], "start": "2026-01-05 10:00", "shift": "12h"},
        },
    )
    mine = settings(config, config.tasks[0])
    assert mine.severity(IncidentKind.REPEATED_ERRORS) is Severity.CRITICAL
    assert mine.severity(IncidentKind.OVERDUE) is Severity.CRITICAL
    assert mine.severity(IncidentKind.LIMIT) is Severity.WARNING
    routes = routing(config)
    assert routes("a", Severity.CRITICAL) == ("", "-1001234567890:17")
    assert routes("a", Severity.WARNING) == routes("b", Severity.CRITICAL) == ("",)
    quiet = quiet_hours(config)
    assert quiet is not None
    assert (quiet.begin, quiet.end, quiet.timezone) == (time(23), time(8), ZoneInfo("Europe/Moscow"))
    people = oncall(config.oncall)
    assert people.people["bob"].destination == "222"
    assert people.people["bob"].user_id == 222
    assert people.rotation is not None
    assert people.rotation.start == datetime.fromisoformat("2026-01-05 10:00")
    assert config.alerts.second_channel is not None
    assert "topic" not in repr(config)


@pytest.mark.parametrize(
    ("key", "least"), [("min_severity", "critical"), ("loud_from", "critical"), ("", "info")]
)
def test_the_least_severity_of_a_chat_may_be_given_under_its_former_name(
    tmp_path: Path, key: str, least: str
) -> None:
    chat = {"chat": -100222, **({key: "critical"} if key else {})}
    routes = routing(read(tmp_path, alerts={"chats": [chat]}))
    sent = [severity.value for severity in Severity if "-100222" in routes("a", severity)]
    assert sent == [one.value for one in Severity if least == "info" or one is Severity.CRITICAL]


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"alerts": {"severity": {"overdu": "critical"}}}, "did you mean overdue?"),
        (
            {"alerts": {"chats": [{"chat": 1, "min_severity": "info", "loud_from": "info"}]}},
            "former name of `min_severity`",
        ),
        ({"alerts": {"chats": [{"chat": 1, "loud_from": "loudly"}]}}, "write info, warning or critical"),
        ({"alerts": {"severity": {"overdue": "loud"}}}, "write info, warning or critical"),
        ({"alerts": {"quiet_hours": "at night"}}, '"23:00-08:00"'),
        ({"alerts": {"quiet_hours": "8:00-8:00"}}, '"23:00-08:00"'),
        ({"alerts": {"all_clear_at": "25:00"}}, '"09:30"'),
        ({"alerts": {"escalate": [{"after": "1h"}, {"after": "5m"}]}}, "levels are called in order"),
        ({"alerts": {"chats": [{"chat": "@public"}]}}, "numeric id"),
        ({"alerts": {"heartbeat": {"url": "ftp://x"}}}, "not an http(s) URL"),
        ({"oncall": {"rotation": {"people": [], "start": "2026-01-05 10:00"}}}, "nobody is in the rotation"),
        (
            {"oncall": {"people": {"ann": 1}, "rotation": {"people": ["anna"], "start": "2026-01-05 10:00"}}},
            "did you mean ann?",
        ),
        (
            {"oncall": {"people": {"ann": 1}, "rotation": {"people": ["ann"], "start": "monday"}}},
            '"2026-01-05 10:00"',
        ),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(
    tmp_path: Path, sections: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **sections)
    [problem] = caught.value.problems
    assert says in problem
    assert "config.yaml:" in problem
