"""`python -m tests.web.weigh [12 200 2000]`: bytes, DOM size and time of the status page in Chromium.

Columns: bytes of the page and of everything until 5 s after it is complete (the event stream included), both
on the wire and decoded; elements in the document; tasks shown; milliseconds to the first byte, to the first
contentful paint and to the load event (the median of three loads).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loguru import logger

from dozor.storage.postgres.embedded import start_embedded
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
    """Bytes by kind of resource, as Chromium counts them on the wire and decoded."""

    def __init__(self, tab: Tab) -> None:
        self._kinds: dict[str, str] = {}
        self.wire: dict[str, int] = {}
        self.decoded: dict[str, int] = {}
        tab.listeners.append(self._hear)

    def _hear(self, method: str, params: Any) -> None:
        match method:
            case "Network.responseReceived":
                self._kinds[params["requestId"]] = params["type"]
            case "Network.dataReceived":
                kind = self._kinds.get(params["requestId"], "?")
                self.wire[kind] = self.wire.get(kind, 0) + params["encodedDataLength"]
                self.decoded[kind] = self.decoded.get(kind, 0) + params["dataLength"]


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
            loads = []
            for number in range(LOADS):
                if number == LOADS - 1:
                    traffic.wire.clear()
                    traffic.decoded.clear()
                await tab.call("Page.navigate", url="about:blank")
                await tab.open(site.url)
                await tab.until("performance.getEntriesByName('first-contentful-paint').length")
                loads.append(await tab.run(TIMES))
            await asyncio.sleep(FOLLOWED_SECONDS)
            elements = await tab.run("document.getElementsByTagName('*').length")
            rows = await tab.run("document.querySelectorAll('[data-task]').length")
            await tab.call("Page.navigate", url="about:blank")
    first, paint, load = (statistics.median(values) for values in zip(*loads, strict=True))
    page = traffic.wire.get("Document", 0), traffic.decoded.get("Document", 0)
    whole = sum(traffic.wire.values()), sum(traffic.decoded.values())
    return (
        f"{count:6} {page[0]:10,} {page[1]:12,} {whole[0]:10,} {whole[1]:12,} {elements:9,} {rows:6,}"
        f" {first:8.0f} {paint:8.0f} {load:8.0f}"
    )


async def _prepare(site: Site, tasks: list[str], broken: set[str]) -> None:
    supervisor = site.runner.supervisor

    def stopped(name: str) -> bool:
        task = supervisor.find(name)
        return task is not None and task.state.state is State.STOPPED

    await until(lambda: all(stopped(name) for name in broken), within=60)
    pool = site.runner._pool
    now = datetime.now(UTC) - timedelta(seconds=5)
    for start in range(0, len(tasks), 200):
        await pool.execute(HISTORY_SQL, tasks[start : start + 200], now)
    await pool.execute("ANALYZE dozor.runs")


async def main(sizes: list[int]) -> None:
    logger.remove()
    print(" tasks  page:wire     decoded   all:wire      decoded  elements   rows  ms:byte    paint     load")
    for count in sizes:
        async with chromium() as tab:
            print(await weigh(count, tab), flush=True)


if __name__ == "__main__":
    asyncio.run(main([int(word) for word in sys.argv[1:]] or list(SIZES)))
