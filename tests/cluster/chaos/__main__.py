"""`make chaos`: 200 faults against three replicas. Ends by itself; a seed plays its order of faults again.

python -m tests.cluster.chaos --faults 200 --seed 1
python -m tests.cluster.chaos --faults 12 --no-timer    # without the kernel timer: runs overlap
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from loguru import logger

from tests.cluster.chaos import judge
from tests.cluster.chaos.campaign import Campaign, Outcome
from tests.cluster.chaos.faults import Fault, order


def main() -> int:
    """0: nothing is wrong, or with `--no-timer` runs overlapped, as they must."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=[fault.name for fault in Fault])
    parser.add_argument("--limit", type=float, default=5400.0, help="seconds for the faults")
    parser.add_argument("--no-timer", action="store_true", help="replicas without the kernel timer")
    parser.add_argument("--slack", type=float, default=0.0, help="seconds added to limits of take-overs")
    parser.add_argument("--keep", type=Path, help="folder for logs and the file of runs")
    options = parser.parse_args()
    logger.remove()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="dozor-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    faults = order(options.faults, options.seed)
    if options.only:
        kinds = [Fault[name] for name in options.only]
        faults = [kinds[number % len(kinds)] for number in range(options.faults)]
    elif options.no_timer:
        stops = (Fault.STOP, Fault.STOP_IN_TRANSACTION)
        faults = [stops[number % 2] for number in range(options.faults)]
    began = time.monotonic()
    campaign = Campaign(folder, _say, timer=not options.no_timer, slack=options.slack)
    outcome = asyncio.run(campaign.run(faults, limit=options.limit))
    _say(f"seed {options.seed}, {time.monotonic() - began:.0f} s, everything in {folder}")
    return _report(outcome, timer=not options.no_timer)


def _report(outcome: Outcome, *, timer: bool) -> int:
    evidence = outcome.evidence
    found = judge.problems(evidence)
    overlaps = judge.overlaps(evidence.runs)
    kinds = Counter(fault.value for fault in outcome.faults)
    _say(f"{len(outcome.faults)} faults: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    epochs = len({run.epoch for run in evidence.runs})
    _say(
        f"{len(evidence.runs)} runs in {epochs} epochs, {len(evidence.writes)} fenced statements, "
        f"{len(evidence.spells)} alerts, {len(evidence.commands)} commands "
        f"({judge.unconfirmed(evidence.commands)} unconfirmed); {len(overlaps)} overlapping runs"
    )
    _say(judge.figures(evidence.takeovers))
    for text in [*found, *([outcome.unmended] if outcome.unmended else [])]:
        _say(f"WRONG: {text}")
    if not timer:
        return 0 if overlaps else 1
    return 1 if found or outcome.unmended else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
