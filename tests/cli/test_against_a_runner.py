"""`dozor health` and `dozor doctor --send` against a runner that is at work."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dozor.cli.doctoring.finding import Level
from dozor.cli.doctoring.sending import send_through_runner
from tests.cli.command import dozor
from tests.waiting import until
from tests.web.site import Work, open_site

ONE = "one: {run: 'm:f', every: 20ms, restart_delay: 10ms, max_consecutive_failures: 1}"


async def test_health_asks_and_exits_accordingly(database: str, tmp_path: Path) -> None:
    work = Work()
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        await until(lambda: work.runs > 0)
        for what in ("alive", "ready", "tasks"):
            result = await dozor("health", "--url", site.url, "--of", what)
            assert (result.exit_code, result.output) == (0, f"{what}: yes\n")
        work.error = ValueError("no")
        await site.becomes("/health/tasks", 503)
        result = await dozor("health", "--url", site.url, "--of", "tasks")
        assert result.exit_code == 1
        assert result.output == "tasks: no (one stopped: dozor restart one)\n"
        url = site.url
    result = await dozor("health", "--url", url)
    assert result.exit_code == 1
    assert "no answer" in result.output


async def test_health_of_something_that_is_no_runner(tmp_path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    result = await dozor("health", "--url", f"http://127.0.0.1:{port}")
    server.close()
    assert (result.exit_code, result.output) == (1, "alive: no (the answer is not that of a runner)\n")


async def test_health_takes_the_address_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("language: en\nweb: {listen: null}\ntasks:\n  one: {run: 'm:f'}\n")
    result = await dozor("health", "-c", str(path))
    assert result.exit_code == 1
    assert "web.listen is null" in result.output


async def test_a_test_alert_goes_the_way_of_all_alerts(database: str, tmp_path: Path) -> None:
    work = Work()
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        finding = await send_through_runner(site.runner.pools.core)
        assert finding.level is Level.OK
        assert "delivered by console" in finding.text
