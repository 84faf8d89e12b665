"""The files in deploy/, as far as they can be checked without the programs they are for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dozor.errors import StorageError
from dozor.storage.postgres.database import check_own_sessions
from tests.house.sources import ROOT
from tests.pgbouncer import PgBouncer
from tests.preloaded.processes import run

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
UNIT = (DEPLOY / "dozor.service").read_text()


def load(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_the_example_configuration_is_accepted_and_refused_without_a_database() -> None:
    command = ("check", "-c", DEPLOY / "example" / "config.yaml")
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    refused = run(*command, env=environment)
    assert refused.returncode == 2
    assert "DATABASE_URL" in refused.stderr
    environment["DATABASE_URL"] = "postgresql://dozor:secret@db/dozor"
    accepted = run(*command, env=environment)
    assert accepted.returncode == 0, accepted.stderr


def test_the_image_copies_what_exists_and_never_runs_as_root() -> None:
    copied = [
        word
        for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text()
    assert [name for name in copied if f"!{name}\n" not in ignored] == []
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER \d+$", last_stage, re.MULTILINE)


def test_compose_migrates_before_it_runs_and_gives_the_runner_time_to_end() -> None:
    services = load("compose.yaml")["services"]
    for service in ("migrate", "runner"):
        assert (
            DEPLOY / services[service]["build"]["context"] / services[service]["build"]["dockerfile"]
        ).exists()
        for volume in services[service]["volumes"]:
            assert (DEPLOY / volume.partition(":")[0]).is_dir()
    assert services["runner"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert int(services["runner"]["stop_grace_period"].rstrip("s")) >= 45


def test_kubernetes_runs_one_at_a_time_and_asks_paths_that_the_runner_answers() -> None:
    spec = load("kubernetes.yaml")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"]["type"] == "Recreate"
    pod = spec["template"]["spec"]
    (runner,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] >= 45
    served = "".join(path.read_text() for path in (ROOT / "runner" / "dozor" / "web").glob("*.py"))
    for probe in ("livenessProbe", "startupProbe", "readinessProbe"):
        path = runner[probe]["httpGet"]["path"]
        assert f'"{path}"' in served
    assert pod["securityContext"]["runAsUser"] == int(re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]


def cluster() -> dict[tuple[str, str], dict[str, Any]]:
    text = (DEPLOY / "kubernetes-cluster.yaml").read_text(encoding="utf-8")
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


def test_two_replicas_are_never_both_away() -> None:
    found = cluster()
    replicas = found["Deployment", "dozor"]["spec"]
    assert replicas["replicas"] == 2
    assert replicas["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    budget = found["PodDisruptionBudget", "dozor"]["spec"]
    assert budget["minAvailable"] == 1
    assert budget["selector"] == replicas["selector"]
    for name, arguments in (("dozor", ["run"]), ("dozor-worker", ["run", "--role", "worker"])):
        pod = found["Deployment", name]["spec"]["template"]["spec"]
        (runner,) = pod["containers"]
        assert runner["args"] == arguments
        assert pod["terminationGracePeriodSeconds"] >= 45
        assert {"name": "CLUSTER", "value": "true"} in runner["env"]


def test_process_1_of_the_image_is_tini() -> None:
    """The kernel timer of a leader cannot end process 1."""
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "tini" in last_stage.partition("ENTRYPOINT")[0]
    assert 'ENTRYPOINT ["/usr/bin/tini", "--", "dozor"]' in last_stage


def test_the_example_configuration_is_that_of_a_replica_by_its_environment(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": "postgresql://dozor:secret@pgbouncer:6432/dozor",
        "DATABASE_POOLING": "transaction",
    }
    command = ("check", "-c", DEPLOY / "example" / "config.yaml")
    alone = run(*command, env=environment)
    assert alone.returncode == 2
    assert "database.pooling" in alone.stderr
    environment["CLUSTER"] = "true"
    replica = run(*command, env=environment)
    assert replica.returncode == 0, replica.stderr


async def test_pgbouncer_accepts_its_configuration_and_shares_sessions(
    short_dir: Path, database: str
) -> None:
    text = cluster()["ConfigMap", "dozor-pgbouncer"]["data"]["pgbouncer.ini"]
    bouncer = PgBouncer(short_dir / "deployed", database, text=text)
    try:
        with pytest.raises(StorageError, match="shares sessions"):
            await check_own_sessions(bouncer.dsn)
    finally:
        bouncer.close()
    assert "ERROR" not in bouncer.log.read_text()


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("there is no systemd here")
    unit = tmp_path / "dozor.service"
    # The program is not installed where the unit looks for it.
    unit.write_text(UNIT.replace("/opt/dozor/bin/dozor", sys.executable).replace("User=dozor\n", ""))
    verified = subprocess.run([systemd, "verify", str(unit)], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
