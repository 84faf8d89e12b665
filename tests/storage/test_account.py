"""The account that runs PostgreSQL for root, made by several processes at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

MAKE = """
import sys
from pathlib import Path
from dozor.storage.postgres.embedded import initdb
initdb._ACCOUNT = sys.argv[1]
print("ready", flush=True)
sys.stdin.readline()
print(initdb.find_account(Path("/nonexistent/pgdata")).uid)
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("useradd"), reason="only root makes accounts")
def test_processes_that_start_together_agree_on_the_account() -> None:
    """Overlapping useradd calls give one name two uids in turn; initdb then finds no user for its own."""
    name = f"dozortest{os.getpid()}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        uids = {process.communicate(timeout=60)[0].strip() for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.wait()
        subprocess.run(["userdel", name], check=False, capture_output=True)
    assert len(uids) == 1
    assert uids != {""}
