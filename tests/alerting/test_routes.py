"""Which destinations a message goes to."""

from __future__ import annotations

import pytest

from dozor.alerting.policy.routes import Route, Routing, parse_destination
from dozor.config.values.incident_kinds import Severity


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("111", (111, None)),
        ("-1001234567890", (-1001234567890, None)),
        ("-100:17", (-100, 17)),
        ("1" * 16 + ":" + "2" * 10, (int("1" * 16), int("2" * 10))),
    ],
)
def test_a_destination_is_a_chat_and_perhaps_a_topic(key: str, place: tuple[int, int | None]) -> None:
    assert parse_destination(key) == place


@pytest.mark.parametrize(
    "key", ["", "@channel", "-", "1:", ":1", "1:-2", "1:2:3", "1" * 17, "1:" + "2" * 11, " 1", "1\n", "١"]
)
def test_what_is_no_destination_is_none(key: str) -> None:
    assert parse_destination(key) is None


@pytest.mark.parametrize("least", list(Severity))
@pytest.mark.parametrize("severity", list(Severity))
def test_a_route_takes_its_severity_and_those_above(severity: Severity, least: Severity) -> None:
    order = [Severity.INFO, Severity.WARNING, Severity.CRITICAL]
    route = Route(destination="1", min_severity=least)
    assert route.takes("t", severity) == (order.index(severity) >= order.index(least))


def test_a_route_of_tasks_takes_only_theirs_and_one_of_all_also_those_of_the_runner() -> None:
    some, all_ = Route(destination="1", tasks=frozenset({"a", "b"})), Route(destination="2")
    assert [some.takes(task, Severity.INFO) for task in ("a", "b", "c", None)] == [True, True, False, False]
    assert all_.takes("c", Severity.INFO)
    assert all_.takes(None, Severity.INFO)
    assert not Route(destination="3", tasks=frozenset()).takes("a", Severity.CRITICAL)


def test_the_chat_of_the_configuration_comes_first_and_no_destination_twice() -> None:
    routing = Routing(
        [
            Route(destination="2", min_severity=Severity.CRITICAL),
            Route(destination="1", tasks=frozenset({"a"})),
            Route(destination="2", tasks=frozenset({"a"})),
            Route(destination=""),
        ]
    )
    assert routing("a", Severity.CRITICAL) == ("", "2", "1")
    assert routing("a", Severity.INFO) == ("", "1", "2")
    assert routing("b", Severity.INFO) == ("",)
    assert Routing()(None, Severity.CRITICAL) == ("",)
