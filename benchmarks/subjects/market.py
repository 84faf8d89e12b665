"""Settlement of auctions beside a hand-written script, and deposits beside tonutils alone."""

from __future__ import annotations

import argparse
import asyncio

from benchmarks import deposits, settlement
from benchmarks.suite.results import Row, Scale, Subject

BIDS = 5
NOTES = (
    "Settlement: the checker beside one SQL script with the same postings, once against the"
    " tables as they are"
    " (guarded) and once without the ledger's own checks, each on a fresh copy of the same"
    " database; the results"
    " are compared.",
    "Deposits: the checker reads, verifies and credits incoming transfers from a Toncenter"
    " stand-in in another"
    " process; tonutils alone reads and parses the same history and does nothing with it.",
)


def measure(scale: Scale) -> Subject:
    options = argparse.Namespace(
        auctions=scale.auctions, bids_each=BIDS, rounds=scale.rounds, sealed=False, embedded=False
    )
    times = asyncio.run(settlement.compare(options))
    case = f"settlement, {scale.auctions:,} auctions, {scale.auctions * BIDS:,} bids"
    rows = [
        Row(case, contestant, "speed", "1/s", tuple(scale.auctions / one for one in seconds))
        for contestant, seconds in times.items()
    ]
    found = [_deposits(scale.deposits) for _ in range(scale.rounds)]
    case = f"deposits, {scale.deposits:,} transactions"
    for contestant, efforts in (
        ("tonutils alone", [one.peer for one in found]),
        ("checker", [one.ours for one in found]),
    ):
        count = scale.deposits
        rows += [
            Row(case, contestant, "speed", "1/s", tuple(count / effort.wall for effort in efforts)),
            Row(case, contestant, "CPU each", "µs", tuple(effort.cpu / count * 1e6 for effort in efforts)),
        ]
    parsing = tuple(one.parsing * 1e6 for one in found)
    rows.append(Row(case, "of it ton-core's parsing", "CPU each", "µs", parsing))
    empty = tuple(one.empty.wall * 1e3 for one in found)
    rows.append(Row(case, "a run with nothing new", "time", "ms", empty))
    return Subject("The marketplace", tuple(rows), NOTES)


def _deposits(count: int) -> deposits.Figures:
    found = asyncio.run(deposits.measure(count))
    print(f"  deposits: tonutils alone {found.peer.wall:.1f} s, checker {found.ours.wall:.1f} s", flush=True)
    return found
