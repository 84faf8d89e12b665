"""`python -m tests.web.weigh [12 200 2000]`: bytes, DOM size and time of the status page in Chromium.

Columns: bytes of the page on the wire; bytes of everything until 5 s after it is complete (bars and event
stream included) on the wire and decoded; elements in the document; tasks shown; milliseconds to the first
byte, to the first contentful paint and to the load event, and how long the browser's main thread was busy
with it (medians of three loads).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loguru import logger

from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.supervision.core.state import State
from tests.waiting import until
from tests.web.browser import Tab, chromium
from tests.web.site import Site, Work, open_site

SIZES = (12, 200, 2000)
PREFIXES = ("auctions", "deposits", "ledger", "mail", "orders", "presales", "prices", "wallets")
LOADS = 3
FOLLOWED_SECONDS = 5.0

HISTORY_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max)
SELECT task || '-' || n, task, at, at,
       CASE WHEN abs(hashtext(task || n)) % 50 = 0 THEN 'failed' ELSE 'succeeded' END, 1, 0.1, 0.1
FROM unnest($1::text[]) AS task, generate_series(1, 88) AS n,
     LATERAL (SELECT $2::timestamptz - n * interval '60 s' AS at) AS moment
"""

TIMES = """(() => {
  const [page] = performance.getEntriesByType('navigation');
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  return [page.responseStart, paint ? paint.startTime : NaN, page.loadEventEnd];
})()"""


class Traffic:
    """Bytes on their way from the server: `wire` as a proxy counts them, headers included; `page` and
    `decoded` as Chromium says.
    """

    def __init__(self, tab: Tab) -> None:
        self._documents: set[str] = set()
        self.wire = self.page = self.decoded = 0
        tab.listeners.append(self._hear)

    def clear(self) -> None:
        self.wire = self.page = self.decoded = 0

    def _hear(self, method: str, params: Any) -> None:
        match method:
            case "Network.responseReceived" if params["type"] == "Document":
                self._documents.add(params["requestId"])
            case "Network.dataReceived":
                self.decoded += params["dataLength"]
            case "Network.loadingFinished" if params["requestId"] in self._documents:
                self.page += int(params["encodedDataLength"])

    @asynccontextmanager
    async def proxy(self, port: int) -> AsyncIterator[str]:
        """The address of a proxy in front of a local port."""

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
            try:
                while data := await reader.read(65_536):
                    self.wire += len(data) if counted else 0
                    writer.write(data)
                    await writer.drain()
            except ConnectionError:
                pass
            finally:
                writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(
                pump(reader, inner_writer, counted=False), pump(inner_reader, writer, counted=True)
            )

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


def names(count: int) -> list[str]:
    return [f"{PREFIXES[n * len(PREFIXES) // count]}_{n:04}" for n in range(count)]


async def weigh(count: int, tab: Tab) -> str:
    failing = Work()
    failing.error = ConnectionError("the service answered 503: Service Unavailable")
    work = Work()
    tasks = names(count)
    broken = set(tasks[:: max(1, count // 3)][:3])
    yaml = "\n".join(
        f"{name}: {{run: 'm:f', every: 60s, description: 'Checks {name}'"
        + (", max_consecutive_failures: 1}" if name in broken else "}")
        for name in tasks
    )
    checkers = {name: failing.run if name in broken else work.run for name in tasks}
    with (
        tempfile.TemporaryDirectory(prefix="dozor-weigh-") as temporary,
        start_embedded(Path(temporary) / "pg") as server,
    ):
        await migrate(server.dsn)
        async with open_site(Path(temporary), server.dsn, checkers, tasks=yaml) as site:
            await _prepare(site, tasks, broken)
            traffic = Traffic(tab)
            await tab.call("Network.enable")
            await tab.call("Performance.enable")
            port = site.runner.web_port
            assert port is not None
            async with traffic.proxy(port) as url:
                loads = []
                for _ in range(LOADS):
                    await tab.call("Page.navigate", url="about:blank")
                    await tab.until("location.href === 'about:blank'")
                    traffic.clear()
                    await tab.open(url)
                    await tab.until("performance.getEntriesByName('first-contentful-paint').length")
                    await tab.until(f"document.querySelectorAll('[data-task]').length >= {min(count, 200)}")
                    loads.append(await tab.run(TIMES) + [await _busy(tab)])
                await asyncio.sleep(FOLLOWED_SECONDS)
                elements = await tab.run("document.getElementsByTagName('*').length")
                rows = await tab.run("document.querySelectorAll('[data-task]').length")
                await tab.call("Page.navigate", url="about:blank")
    first, paint, load, busy = (statistics.median(values) for values in zip(*loads, strict=True))
    return (
        f"{count:6} {traffic.page:10,} {traffic.wire:10,} {traffic.decoded:12,} {elements:9,} {rows:6,}"
        f" {first:8.0f} {paint:8.0f} {load:8.0f} {busy:8.0f}"
    )


async def _busy(tab: Tab) -> float:
    """Milliseconds of script, style and layout of this document."""
    metrics = {one["name"]: one["value"] for one in (await tab.call("Performance.getMetrics"))["metrics"]}
    return 1000.0 * sum(
        float(metrics[name]) for name in ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
    )


async def _prepare(site: Site, tasks: list[str], broken: set[str]) -> None:
    supervisor = site.runner.supervisor

    def stopped(name: str) -> bool:
        task = supervisor.find(name)
        return task is not None and task.state.state is State.STOPPED

    await until(lambda: all(stopped(name) for name in broken), within=60)
    pool = site.runner.pools.core
    now = datetime.now(UTC) - timedelta(seconds=5)
    for start in range(0, len(tasks), 200):
        await pool.execute(HISTORY_SQL, tasks[start : start + 200], now)
    await pool.execute("ANALYZE dozor.runs")


async def main(sizes: list[int]) -> None:
    logger.remove()
    print(" tasks  page:wire   all:wire  all:decoded  elements   rows  ms:byte    paint     load     busy")
    for count in sizes:
        async with chromium() as tab:
            print(await weigh(count, tab), flush=True)


if __name__ == "__main__":
    asyncio.run(main([int(word) for word in sys.argv[1:]] or list(SIZES)))
