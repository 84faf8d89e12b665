"""`dozor service install`: the unit, what systemd says of it, and what is written where."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dozor.cli.service.install import Written, next_commands, read_env_file, write_unit
from dozor.cli.service.unit import Unit, checked_name, render, user_folder
from dozor.errors import CommandRefusedError
from tests.preloaded.processes import run

CONFIG = "language: {language}\nweb: {{listen: null}}\ndatabase: {{url: '${{DATABASE_URL:-embedded}}'}}\n" + (
    "tasks: {{orders: {{run: 'mine:check', every: 1h}}}}\n"
)
HOME = Path("/home") / "ann" / "shop"
ODD = "a b%h$HOME;[x]*й"


def made(tmp_path: Path, name: str = "project", language: str = "en") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "mine.py").write_text("async def check(): ...\n")
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(language=language))
    return config


def service(config: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "BOT_TOKEN")}
    home = config.parent.parent / "home"
    env = {**kept, "HOME": str(home), "XDG_CONFIG_HOME": "", **environment}
    return run("service", "install", "-c", config, *arguments, env=env)


def unit(**more: object) -> Unit:
    values: dict[str, object] = {
        "name": "dozor", "user_unit": True, "command": ("/opt/dozor/bin/dozor",),
        "config": Path("/srv/shop/config.yaml"), "env_file": None, "run_as": "dozor",
    }  # fmt: skip
    return Unit(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("user_unit", [True, False], ids=["user", "system"])
@pytest.mark.parametrize("name", ["project", ODD])
def test_systemd_accepts_the_unit(tmp_path: Path, user_unit: bool, name: str) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("there is no systemd here")
    config = made(tmp_path, name)
    (config.parent / ".env").write_text("BOT_TOKEN=1\n")
    program = config.parent / "dozor"
    program.symlink_to(sys.executable)
    text = render(
        unit(
            user_unit=user_unit, command=(str(program),), config=config,
            env_file=config.parent / ".env", run_as="root", writable=(config.parent,),
        )
    )  # fmt: skip
    path = tmp_path / "dozor.service"
    path.write_text(text)
    scope = ["--user"] if user_unit else []
    verified = subprocess.run(
        [systemd, *scope, "verify", str(path)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert (verified.returncode, verified.stderr) == (0, ""), text


def test_specifiers_variables_and_spaces_stay_what_they_are() -> None:
    text = render(
        unit(command=("/a $b/%c/dozor",), config=Path("/x y$z%h/config.yaml"), env_file=Path("/x[1]*/.env"))
    )
    assert 'ExecStart="/a $b/%%c/dozor" run -c "/x y$$z%%h/config.yaml"\n' in text
    assert "WorkingDirectory=/x y$z%%h\n" in text
    assert "EnvironmentFile=/x\\[1]\\*/.env\n" in text
    assert "User=" not in text
    assert text.endswith("WantedBy=default.target\n")


@pytest.mark.parametrize("path", ["/a\nExecStart=/bin/sh", "/a\\b", '/a"b', "/a'b", "/a /x"])
def test_a_path_that_a_unit_cannot_name_is_refused(path: str) -> None:
    config = Path(path) / "config.yaml" if path != "/a /x" else Path("/a/config.yaml ")
    with pytest.raises(CommandRefusedError, match="systemd"):
        render(unit(config=config))


def test_a_unit_of_the_system_has_the_settings_of_the_shipped_one() -> None:
    """Apart from what depends on the place, and comments."""
    shipped = (Path(__file__).parents[2] / "deploy" / "dozor.service").read_text()
    ours = render(unit(user_unit=False, config=Path("/etc/dozor/config.yaml"))).splitlines()
    placed = ("EnvironmentFile=", "ExecStart=", "Description=", "Documentation=", "#")
    wanted = [line for line in shipped.splitlines() if line and not line.startswith(placed)]
    assert [line for line in wanted if line not in ours] == []


def test_folders_that_the_runner_needs_stay_within_its_reach() -> None:
    text = render(
        unit(
            user_unit=False, config=HOME / "config.yaml",
            writable=(HOME, Path("/var/lib/dozor/x")),
        )
    )  # fmt: skip
    assert "ProtectHome=read-only\n" in text
    assert f"ReadWritePaths={HOME}\n" in text
    assert "PrivateTmp=no\n" in render(unit(user_unit=False, config=Path("/tmp/x/config.yaml")))


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "x@", "-x", ".x", "а", "x" * 201, "a;b", "a\nb"])
def test_a_name_that_is_no_units_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="unit"):
        checked_name(name)
    if name in ("../x", "a b"):
        ran = service(made(tmp_path), "--user", "--name", name, "--write")
        assert (ran.returncode, ran.stdout) == (2, "")
        assert name in ran.stderr


def test_the_suffix_may_be_written() -> None:
    assert checked_name("shop.service") == "shop"


def test_a_relative_xdg_config_home_counts_as_unset() -> None:
    assert user_folder(Path("/h"), "x") == user_folder(Path("/h"), None) == Path("/h/.config/systemd/user")
    assert user_folder(Path("/h"), "/c") == Path("/c/systemd/user")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_it_is_printed_first_and_written_only_when_asked(tmp_path: Path, language: str) -> None:
    config = made(tmp_path, language=language)
    folder = tmp_path / "config-home"
    path = folder / "systemd" / "user" / "shop.service"
    shown = service(config, "--user", "--name", "shop", XDG_CONFIG_HOME=str(folder))
    assert shown.returncode == 0, shown.stderr
    assert not folder.exists()
    assert f"WorkingDirectory={config.parent}\n" in shown.stdout
    script = Path(sys.executable).with_name("dozor")
    assert f"ExecStart={script} run -c {config}\n" in shown.stdout
    for command in ("systemctl --user daemon-reload", "systemctl --user enable --now shop",
                    "loginctl enable-linger", "journalctl --user -u shop -f", "--write"):  # fmt: skip
        assert command in shown.stderr
    written = service(config, "--user", "--name", "shop", "--write", XDG_CONFIG_HOME=str(folder))
    assert written.returncode == 0, written.stderr
    assert path.read_text() == shown.stdout.removesuffix("\n") == written.stdout.removesuffix("\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    again = service(config, "--user", "--name", "shop", "--write", XDG_CONFIG_HOME=str(folder))
    assert again.returncode == 0
    path.write_text("mine\n")
    refused = service(config, "--user", "--name", "shop", "--write", XDG_CONFIG_HOME=str(folder))
    assert refused.returncode == 1
    assert str(path) in click.unstyle(refused.stderr).replace("\n", "")
    assert path.read_text() == "mine\n"
    forced = service(config, "--user", "--name", "shop", "--write", "--force", XDG_CONFIG_HOME=str(folder))
    assert forced.returncode == 0
    assert path.read_text().startswith("[Unit]")
    assert os.listdir(path.parent) == ["shop.service"]


def test_without_the_variable_it_is_in_the_home_folder(tmp_path: Path) -> None:
    assert service(made(tmp_path), "--user", "--write").returncode == 0
    assert (tmp_path / "home" / ".config" / "systemd" / "user" / "dozor.service").exists()


def test_secrets_are_referred_to_and_never_written(tmp_path: Path) -> None:
    config = made(tmp_path)
    secret = "postgresql://u:sesame-4711@db/shop"
    without = service(config, "--user", DATABASE_URL=secret)
    assert without.returncode == 0, without.stderr
    assert "EnvironmentFile" not in without.stdout
    assert "DATABASE_URL" in without.stderr, "the service will not have it"
    env_file = config.parent / ".env"
    env_file.write_text(f'# mine\nDATABASE_URL="{secret}"\n')
    env_file.chmod(0o644)
    ran = service(config, "--user")
    assert f"EnvironmentFile={env_file}\n" in ran.stdout
    assert f"chmod 0600 {env_file}" in ran.stderr
    env_file.chmod(0o600)
    assert "chmod" not in service(config, "--user").stderr
    for output in (without, ran):
        assert "sesame" not in output.stdout + output.stderr


def test_what_a_file_for_systemd_assigns(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# a\n;b\nA=1\n B = 2\nexport C=3\nD='4 5'\nE=\n\n")
    assert read_env_file(path) == {"A": "1", "B": "2", "D": "4 5", "E": ""}
    path.write_bytes(b"\xff\n")
    with pytest.raises(CommandRefusedError):
        read_env_file(path)
    with pytest.raises(CommandRefusedError):
        read_env_file(tmp_path)


def test_bad_configurations_are_refused_as_dozor_check_does(tmp_path: Path) -> None:
    config = made(tmp_path)
    missing = service(config.with_name("none.yaml"), "--user", "--write")
    assert (missing.returncode, missing.stdout) == (2, "")
    config.write_text("tasks: {a: {run: nothing}}")
    wrong = service(config, "--user", "--write")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "config.yaml:1" in wrong.stderr
    assert not (tmp_path / "home").exists()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    ran = service(made(tmp_path), "--user", "--write")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "home" in ran.stderr


def test_a_unit_that_a_package_has_installed_is_not_replaced(tmp_path: Path) -> None:
    packaged = tmp_path / "lib"
    packaged.mkdir()
    (packaged / "ssh.service").write_text("theirs\n")
    path = tmp_path / "etc" / "ssh.service"
    with pytest.raises(CommandRefusedError, match=r"lib/ssh\.service"):
        write_unit(path, "ours\n", (packaged,), force=False)
    assert not path.exists()
    assert write_unit(path, "ours\n", (packaged,), force=True) is Written.NEW
    assert write_unit(path, "ours\n", (packaged,), force=False) is Written.SAME
    path.unlink()
    path.symlink_to("/dev/null")  # masked
    with pytest.raises(CommandRefusedError):
        write_unit(path, "ours\n", (), force=False)
    assert write_unit(path, "ours\n", (), force=True) is Written.REPLACED
    assert path.read_text() == "ours\n"
    assert not path.is_symlink()


def test_the_next_commands_of_a_unit_of_the_system() -> None:
    commands = next_commands(unit(user_unit=False, name="shop", run_as="root"))
    assert [one.removeprefix("sudo ") for one in commands] == [
        "systemctl daemon-reload", "systemctl enable --now shop", "journalctl -u shop -f",
    ]  # fmt: skip
