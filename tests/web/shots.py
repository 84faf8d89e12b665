"""`python -m tests.web.shots docs/images`: the pictures of the status page in the documentation."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loguru import logger

from dozor.storage.postgres.embedded import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from tests.waiting import until
from tests.web.browser import chromium
from tests.web.site import Site, Work, open_site

TASKS = """
auctions_checker: {run: 'm:f', every: 60s, description: Завершает аукционы, max_consecutive_failures: 5}
presale_checker: {run: 'm:f', every: 30s, restart_delay: 200ms, description: Предзаказы, max_consecutive_failures: 5}
ton_deposits: {run: 'm:f', every: 15s, description: Пополнения TON, restart_delay: 600s}
ledger_audit: {run: 'm:f', cron: '*/10 * * * *', description: Сверка счетов}
price_feed: {run: 'm:f', description: Курсы}
"""  # noqa: E501

HISTORY_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, seconds, seconds_max)
SELECT $1::text || n, $1::text, at, at,
       CASE WHEN n = ANY($4::int[]) THEN 'failed' ELSE 'succeeded' END, 0.1, 0.1
FROM generate_series(1, $5::int) AS n,
     LATERAL (SELECT $2::timestamptz - n * make_interval(secs => $3) AS at) AS moment
"""


async def main(folder: Path) -> None:
    """A site with a bit of everything, in three pictures."""
    logger.remove()
    failing, timing = Work(), Work()
    failing.error = ConnectionError("Stripe ответил 503: Service Unavailable")
    timing.error = TimeoutError("toncenter.com: нет ответа за 10 с")

    async def feed() -> None:
        await asyncio.Event().wait()

    checkers = {
        "auctions_checker": Work().run, "presale_checker": failing.run, "ton_deposits": timing.run,
        "ledger_audit": Work().run, "price_feed": feed,
    }  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="dozor-shots-") as temporary,
        start_embedded(Path(temporary) / "pg") as server,
    ):
        await migrate(server.dsn)
        more = "web: {listen: 127.0.0.1:0, token: 0123456789abcdef0123}"
        async with (
            open_site(Path(temporary), server.dsn, checkers, tasks=TASKS, more=more, language="ru") as site,
            chromium() as tab,
        ):
            await prepare(site)
            for name, width, height, scheme, phone in (
                ("status-light", 1000, 920, "light", False),
                ("status-dark", 1000, 920, "dark", False),
                ("status-phone", 390, 1000, "light", True),
            ):
                await tab.scheme(scheme)
                await tab.size(width, height, phone=phone)
                await tab.open(site.url)
                await tab.run("sessionStorage.setItem('dozor-token', 'x')")
                await tab.open(site.url)
                await tab.until("document.getElementById('live').textContent.includes('связи')")
                await tab.screenshot(folder / f"{name}.png")


async def prepare(site: Site) -> None:
    supervisor = site.runner.supervisor
    stopped = supervisor.find("presale_checker")
    assert stopped is not None
    await until(lambda: stopped.state.state is State.STOPPED)
    supervisor.command("ledger_audit", Pause("telegram:111"))
    now = datetime.now(UTC) - timedelta(seconds=5)
    pool = site.runner.pools.core
    for task, period, failed in (
        ("auctions_checker", 60.0, [33, 34]),
        ("presale_checker", 60.0, [1, 2, 3, 20, 47]),
        ("ton_deposits", 60.0, [1, 2, 60, 61, 62]),
        ("ledger_audit", 600.0, []),
    ):
        await pool.execute(HISTORY_SQL, task, now, period, failed, 89)
    await asyncio.sleep(1.5)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
