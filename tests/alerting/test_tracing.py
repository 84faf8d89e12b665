"""Spans of runs, incidents and deliveries, sent by OpenTelemetry's own exporter to a collector over HTTP."""

from __future__ import annotations

import gzip
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from loguru import logger
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dozor.alerting import tracing
from dozor.clock import SteadyClock
from dozor.supervision.core.events import Restart
from dozor.supervision.core.state import State
from tests.waiting import until
from tests.web.site import Work, open_site

TASKS = "one: {run: 'm:f', every: 20ms, restart_delay: 10ms, max_consecutive_failures: 3}"


class Collector:
    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.url = ""

    async def hear(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response(content_type="application/x-protobuf")

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def attributes(span: Any) -> dict[str, Any]:
    values = {pair.key: pair.value for pair in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield collector
    await runner.cleanup()


async def test_each_run_incident_and_delivery_is_a_span(
    database: str, tmp_path: Path, collector: Collector
) -> None:
    work = Work()
    work.error = ValueError("no stock")
    async with open_site(tmp_path, database, {"one": work.run}, tasks=TASKS) as site:
        task = site.runner.supervisor.find("one")
        assert task is not None
        await until(lambda: task.state.state is State.STOPPED)
        work.error = None
        site.runner.supervisor.command("one", Restart("test"))
        attempts = site.runner._deliveries.attempts
        await until(lambda: sum(attempts.values()) > 0 and work.runs > 6)
    runs = collector.named("run one")
    assert len(runs) >= 5
    failed = [span for span in runs if span.status.code == 2]
    assert [attributes(span)["dozor.attempt"] for span in failed] == [1, 2, 3]
    assert failed[0].status.message == "no stock"
    assert attributes(failed[0])["error.type"] == "ValueError"
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano for span in runs)
    [incident] = collector.named("incident")
    assert attributes(incident)["dozor.task"] == "one"
    assert incident.end_time_unix_nano > incident.start_time_unix_nano
    assert any(attributes(span)["dozor.alert.outcome"] == "delivered" for span in collector.named("alert"))


async def test_without_an_endpoint_there_is_no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert tracing.open_tracing("1", SteadyClock()) is None


async def test_without_the_extra_a_warning_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)))
    assert tracing.open_tracing("1", SteadyClock()) is None
    logger.remove(sink)
    assert "dozor[tracing]" in lines[0]


async def test_a_collector_that_is_away_holds_nothing_up(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.2)
    work = Work()
    async with open_site(tmp_path, database, {"one": work.run}, tasks=TASKS) as site:
        await until(lambda: work.runs > 3)
        assert (await site.get_json("/readyz"))[0] == 200
