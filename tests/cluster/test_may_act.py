"""Outside the trust window a leader uses neither the second channel nor the sign of life."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from dozor.alerting.fallback.apprise import AppriseChannels
from dozor.app.leading.alert_services import AlertServices
from dozor.cluster.trust_window import TrustWindow
from dozor.language import Language


def services(window: TrustWindow | None) -> AlertServices:
    channel = SimpleNamespace(urls=[SecretStr("json://127.0.0.1:9")], after=1.0)
    config = SimpleNamespace(alerts=SimpleNamespace(second_channel=channel), language=Language.EN)
    nothing = cast("Any", None)
    return AlertServices(
        config=cast("Any", config),
        pool=nothing,
        manager=nothing,
        journal=nothing,
        supervisor=nothing,
        dispatcher=nothing,
        words=nothing,
        clock=nothing,
        spool=nothing,
        well=lambda: True,
        may_act=None if window is None else window.may_act,
    )


async def test_both_ask_the_window_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    async def take(self: AppriseChannels, title: str, text: str) -> bool:
        sent.append(text)
        return True

    monkeypatch.setattr(AppriseChannels, "send", take)
    at = 1000.0
    window = TrustWindow(10.0, now=lambda: at)
    found = services(window)
    failover = found._failover()
    assert failover is not None
    assert await failover.send(["before it leads"], 5.0, at) == 0
    assert not found._alive()
    window.extend(at)
    assert await failover.send(["while it leads"], 5.0, at) == 1
    assert found._alive()
    at = 1009.0
    assert await failover.send(["beyond its window"], 5.0, at) == 0
    assert not found._alive()
    assert sent == ["while it leads"]


async def test_without_a_cluster_nothing_is_asked() -> None:
    assert services(None)._alive()
