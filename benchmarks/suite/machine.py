"""What the figures were measured on; no name or path of the machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from dozor.storage.postgres.embedded.initdb import find_binaries

PEERS = ("APScheduler", "celery", "procrastinate", "pgqueuer", "tonutils")


def describe() -> dict[str, str]:
    """Rows of the table that describes the machine; to be called before anything is measured."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": _postgres_version(),
        "load before (1, 5, 15 minutes)": load,
        "peers": ", ".join(
            [*(f"{name} {version}" for name in PEERS if (version := _version(name))), *_redis_version()]
        ),
    }


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def _postgres_version() -> str:
    answer = subprocess.run(
        [str(find_binaries() / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    return answer.stdout.split()[-1]


def _redis_version() -> list[str]:
    """`redis-server 7.0.15`, or nothing."""
    program = shutil.which("redis-server")
    if program is None:
        return []
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=([\d.]+)", said)
    return [f"redis-server {found[1]}" if found else "redis-server"]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
