"""The text of a systemd unit for one configuration, and where it belongs. Pure.

The settings of a system unit are those of `deploy/dozor.service`. Sources: systemd.service(5),
systemd.exec(5), systemd.syntax(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dozor.errors import CommandRefusedError
from dozor.language import msg

SYSTEM_FOLDER = Path("/etc/systemd/system")
PACKAGED = {
    False: (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system")),
    True: (Path("/usr/lib/systemd/user"), Path("/etc/systemd/user")),
}
"""Whether it is a user unit -> folders of units that a file in ours would take the place of."""
LONGEST_NAME = 200
"""Characters; systemd takes 255 with the suffix."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 -- compared with, never written to
_UNUSABLE = frozenset("\\\"'")
"""Characters that the settings of a unit quote in different ways, or not at all."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What the text is made from. Paths are absolute; `command` is the program and its first arguments."""

    name: str
    user_unit: bool
    command: tuple[str, ...]
    config: Path
    env_file: Path | None
    run_as: str
    """The user of a system unit."""
    writable: tuple[Path, ...] = ()
    """Folders outside of its StateDirectory that the runner writes to."""

    @property
    def file_name(self) -> str:
        return f"{self.name}.service"


def checked_name(text: str) -> str:
    """The unit's name without `.service`. Raises ValueError with what is wrong."""
    name = text.removesuffix(".service")
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError(msg("setup-service-bad-name", name=text[:60]))
    return name


def user_folder(home: Path, config_home: str | None) -> Path:
    """Where units of a user are. `config_home`: XDG_CONFIG_HOME; a relative one counts as unset, as its
    specification says."""
    base = Path(config_home) if config_home and Path(config_home).is_absolute() else home / ".config"
    return base / "systemd" / "user"


def render(unit: Unit) -> str:
    """The file. Raises CommandRefusedError for a path that a unit cannot name."""
    exec_start = " ".join((_program(unit.command[0]), *map(_argument, _arguments(unit))))
    lines = ["[Unit]", f"Description=Dozor ({_plain(unit.config)})"]
    if not unit.user_unit:
        lines += ["Wants=network-online.target", "After=network-online.target postgresql.service"]
    lines += ["StartLimitIntervalSec=300", "StartLimitBurst=5", "", "[Service]", "Type=exec"]
    if not unit.user_unit:
        lines.append(f"User={unit.run_as}")
    lines.append(f"WorkingDirectory={_plain(unit.config.parent)}")
    if unit.env_file is not None:
        lines.append(f"EnvironmentFile={_pattern(unit.env_file)}")
    lines += [
        "Environment=PYTHONUNBUFFERED=1",
        f"ExecStart={exec_start}",
        "Restart=on-failure",
        "RestartSec=5",
        "RestartPreventExitStatus=2",
        "TimeoutStopSec=60",
        "KillMode=mixed",
        "NoNewPrivileges=yes",
        "UMask=0077",
    ]
    if not unit.user_unit:
        lines += _confinement(unit)
    target = "default.target" if unit.user_unit else "multi-user.target"
    return "\n".join([*lines, "", "[Install]", f"WantedBy={target}", ""])


def _arguments(unit: Unit) -> Sequence[str]:
    return (*unit.command[1:], "run", "-c", str(unit.config))


def _confinement(unit: Unit) -> list[str]:
    """Of a system unit. Folders that the service needs stay visible to it."""
    needed = (Path(unit.command[0]), unit.config, *unit.writable)
    lines = [
        f"PrivateTmp={'no' if _any_inside(needed, _TEMPORARY) else 'yes'}",
        "PrivateDevices=yes",
        "ProtectSystem=strict",
        f"ProtectHome={'read-only' if _any_inside(needed, _HOMES) else 'yes'}",
        "ProtectKernelTunables=yes",
        "ProtectControlGroups=yes",
        "RestrictSUIDSGID=yes",
        f"StateDirectory={unit.name}",
        "StateDirectoryMode=0750",
        "LimitNOFILE=65536",
    ]
    folders = [folder for folder in unit.writable if not folder.is_relative_to(f"/var/lib/{unit.name}")]
    if folders:
        lines.append(f"ReadWritePaths={' '.join(_quoted(_plain(one)) for one in folders)}")
    return lines


def _any_inside(paths: Iterable[Path], folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


def _checked(text: str) -> str:
    """Raises CommandRefusedError for a text with characters that are not the same in every setting."""
    if not text.isprintable() or not _UNUSABLE.isdisjoint(text) or text != text.strip():
        raise CommandRefusedError(msg("setup-service-bad-path", path=ascii(text)))
    return text


def _plain(path: Path) -> str:
    """The value of a setting that takes one path, without quotes."""
    return _checked(str(path)).replace("%", "%%")


def _pattern(path: Path) -> str:
    """EnvironmentFile= takes a pattern of glob(7)."""
    return re.sub(r"([*?\[])", r"\\\1", _plain(path))


def _program(text: str) -> str:
    """The first word of ExecStart=: no variables are filled in there, so that `$` stays as it is."""
    return _quoted(_checked(text).replace("%", "%%"))


def _argument(text: str) -> str:
    return _quoted(_checked(text).replace("%", "%%").replace("$", "$$"))


def _quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"[\s;]", text) else text
