"""Every benchmark, one after the other: `make bench`. Each is a module with `main(argv)`."""

from __future__ import annotations

import importlib
import sys

ROWS = ("supervision", "settlement", "deposits", "scrape", "bot_latency", "delivery")


def main() -> None:
    for row in sys.argv[1:] or ROWS:
        print(f"\n== {row}", flush=True)
        importlib.import_module(f"benchmarks.{row}").main([])


if __name__ == "__main__":
    main()
