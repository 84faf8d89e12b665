"""Every benchmark beside its peers, into one file: `make bench`.

    python -m benchmarks [--quick] [--patience N] [SUBJECT ...]

Writes benchmarks/RESULTS.md and the graphs in docs/images. With names of subjects only those are measured,
and what is measured is printed instead; so it is with `--print`. Each subject has a process of its own and a
deadline; one that fails or overruns has its reason in place of its figures, and the others are measured.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from benchmarks.suite.bounded import allow_interrupt, keep, measured_within, not_measured, this_module
from benchmarks.suite.graph import bars
from benchmarks.suite.machine import describe
from benchmarks.suite.markdown import render
from benchmarks.suite.results import FULL, QUICK, SMOKE, Scale, Subject

SUBJECTS = {
    "supervision": 1_000,
    "startup": 240,
    "recovery": 180,
    "failures": 420,
    "alerts": 300,
    "database": 240,
    "web": 300,
    "pool": 600,
    "market": 480,
}
"""In the order in which they are measured, with the seconds that each may take: about twice what it takes on
two quiet cores."""
WHOLE = 2_220
"""Seconds that all of them may take together; on two quiet cores it is about 1,800."""
FORMS = {scale.name: scale for scale in (FULL, QUICK, SMOKE)}
HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"
OWN = ("dozor run", "dozor.safe_background_task")


def options_of(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """`form`, `subjects`, `patience` and `printed`; `into`: of the process of one subject."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], metavar="SUBJECT")
    parser.add_argument("--quick", action="store_const", const="quick", dest="form", help="small, minutes")
    parser.add_argument("--form", choices=sorted(FORMS), help=argparse.SUPPRESS)
    parser.add_argument("--print", action="store_true", dest="printed", help="write no files")
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="N",
        help="every deadline N times as long: a busy machine",
    )
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    parser.set_defaults(form="full")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = options_of(argv)
    logger.remove()
    scale = FORMS[options.form]
    if options.into is not None:
        allow_interrupt()
        (name,) = options.subjects
        keep(measured(name, scale), options.into)
        return
    begun, machine = time.monotonic(), describe()
    subjects: list[Subject] = []
    failed: list[str] = []
    written = not (options.printed or options.subjects)
    text = ""
    names = [name for name in options.subjects or SUBJECTS if _wanted(name, scale)]
    for number, name in enumerate(names, 1):
        at = time.monotonic()
        left = WHOLE * options.patience - (at - begun)
        deadline = max(0.0, min(SUBJECTS[name] * options.patience, left))
        print(f"== {name}: {number} of {len(names)}, at most {deadline:,.0f} s", flush=True)
        subject = measured_within(name, this_module(name, "--form", scale.name, "--into"), deadline)
        subjects.append(subject)
        if not subject.rows:
            failed.append(name)
        said = f"{len(subject.rows)} figures" if subject.rows else subject.notes[0]
        print(f"   {name}: {time.monotonic() - at:.0f} s, {said}", flush=True)
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
    """One subject, in this process; where it fails, the reason in place of its figures."""
    try:
        subject: Subject = importlib.import_module(f"benchmarks.subjects.{name}").measure(scale)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- the reason is the result
        traceback.print_exc()
        first = str(error).partition("\n")[0]
        return not_measured(name, f"{type(error).__name__}: {first}")
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
            values = {
                row.contestant: row.median
                for row in rows
                if (row.case, row.figure) == (case, figure) and not math.isnan(row.median)
            }
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
