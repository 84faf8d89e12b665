"""Every benchmark beside its peers, into one file: `make bench`.

    python -m benchmarks [--quick] [SUBJECT ...]

Writes benchmarks/RESULTS.md and the graphs in docs/images. With names of subjects only those are measured,
and what is measured is printed instead; so it is with `--print`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from benchmarks.suite.graph import bars
from benchmarks.suite.machine import describe
from benchmarks.suite.markdown import render
from benchmarks.suite.results import FULL, QUICK, SMOKE, Scale, Subject

SUBJECTS = (
    "supervision",
    "startup",
    "recovery",
    "failures",
    "alerts",
    "database",
    "web",
    "pool",
    "market",
)
FORMS = {scale.name: scale for scale in (FULL, QUICK, SMOKE)}
HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"
OWN = ("dozor run", "dozor.safe_background_task")


def options_of(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """`form`, `subjects` and `printed`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], metavar="SUBJECT")
    parser.add_argument("--quick", action="store_const", const="quick", dest="form", help="small, minutes")
    parser.add_argument("--form", choices=sorted(FORMS), help=argparse.SUPPRESS)
    parser.add_argument("--print", action="store_true", dest="printed", help="write no files")
    parser.set_defaults(form="full")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = options_of(argv)
    logger.remove()
    scale = FORMS[options.form]
    begun, machine = time.monotonic(), describe()
    subjects: list[Subject] = []
    failed: list[str] = []
    written = not (options.printed or options.subjects)
    text = ""
    for name in options.subjects or SUBJECTS:
        if not _wanted(name, scale):
            continue
        try:
            subjects.append(measured(name, scale))
        except Exception as error:  # noqa: BLE001 -- the other subjects are measured all the same
            traceback.print_exc()
            failed.append(name)
            why = f"Not measured: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            subjects.append(Subject(f"{name}", (), (why,)))
        text = render(machine, scale, subjects, (time.monotonic() - begun) / 60)
        if written:  # after each: a run that is cut off keeps what it has
            (HERE / "RESULTS.md").write_text(text, "utf-8")
    if written:
        for name, picture in graphs(subjects).items():
            (IMAGES / name).write_text(picture, "utf-8")
    print(text)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


def measured(name: str, scale: Scale) -> Subject:
    """One subject, with its name and time on standard output."""
    print(f"== {name}", flush=True)
    begun = time.monotonic()
    subject: Subject = importlib.import_module(f"benchmarks.subjects.{name}").measure(scale)
    print(f"   {time.monotonic() - begun:.0f} s", flush=True)
    return subject


def graphs(subjects: Sequence[Subject]) -> dict[str, str]:
    """SVG by file name: CPU of a run and lateness, with the most tasks that were measured."""
    found = {}
    for subject in subjects:
        rows = [row for row in subject.rows if row.figure in ("CPU a run", "late p99")]
        if not rows:
            continue
        case = rows[-1].case
        for figure, name in (("CPU a run", "bench-cpu.svg"), ("late p99", "bench-lateness.svg")):
            values = {row.contestant: row.median for row in rows if (row.case, row.figure) == (case, figure)}
            if len(values) > 1:
                unit = next(row.unit for row in rows if row.figure == figure)
                ordered = dict(sorted(values.items(), key=lambda item: item[1]))
                what = "CPU of a run" if figure == "CPU a run" else "p99 of lateness"
                found[name] = bars(f"{what}, {case} at 1 Hz", unit, ordered, OWN)
    return found


def _wanted(name: str, scale: Scale) -> bool:
    return name != "pool" or bool(scale.pool)


if __name__ == "__main__":
    main()
