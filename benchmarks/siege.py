"""The fault campaign with real parts: processes, HTTP, a PostgreSQL; killed, frozen and cut off at random.

    python -m benchmarks.siege [--incidents 10000] [--kills 300] [--seed 1] [--speed 75]

Seconds pass `--speed` times as fast for all of them (see `tests.siege`). Ends with 1 if an incident was not
told, or its end, or told as current when it was over, or twice unmarked or for no reason, or too fast.
"""

from __future__ import annotations

import argparse
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

from loguru import logger

from tests.siege.evidence import gather
from tests.siege.report import Report, report
from tests.siege.siege import Options, Siege

SHOWN = 30
"""Problems."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _besiege(folder: Path, options: Options, slack: float) -> Report:
    siege = Siege(folder, options, _say)
    try:
        chronicle = siege.run()
        evidence = gather(chronicle, siege.dsn, siege.seen_file, siege.log)
    finally:
        siege.close()
    (folder / "evidence.pickle").write_bytes(pickle.dumps(evidence))
    return report(evidence, slack)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.siege",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--incidents", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=75.0)
    parser.add_argument("--gap", type=float, default=12.0, help="fast seconds between breakages")
    parser.add_argument(
        "--longest", type=float, default=3000.0, help="fast seconds that a breakage lasts at most"
    )
    parser.add_argument("--patience", type=float, default=14400.0, help="fast seconds to tell the rest")
    parser.add_argument("--slack", type=float, default=0.1, help="real seconds that the machine may lose")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave everything there")
    chosen = parser.parse_args(argv)
    logger.remove()
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="dozor-siege-"))
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        incidents=chosen.incidents,
        kills=chosen.kills,
        tasks=chosen.tasks,
        seed=chosen.seed,
        speed=chosen.speed,
        gap=chosen.gap,
        longest=chosen.longest,
        patience=chosen.patience,
    )
    found = _besiege(folder, options, chosen.slack)
    for name, value in found.figures.items():
        print(f"{name:20} {value}")
    print(f"{'problems':20} {len(found.problems)}")
    for problem in found.problems[:SHOWN]:
        print(" ", problem)
    if not chosen.keep:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if found.problems else 0)


if __name__ == "__main__":
    main()
