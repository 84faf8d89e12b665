"""Paths of the runner's own files, and whether others may write or read what they must not."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dozor.config.secrets import passwords_in
from dozor.config.sections.config import Config
from dozor.language import msg


def state_dir(config: Config, env: Mapping[str, str] = os.environ) -> Path:
    """`state_dir`; else the StateDirectory= of systemd; else the folder that `database.data_dir` is in."""
    if config.state_dir is not None:
        return config.state_dir
    given = env.get("STATE_DIRECTORY", "").partition(":")[0]  # several are joined by colons
    return Path(given) if given else config.database.data_dir.parent


def unwritable(folder: Path) -> str | None:
    """Why no file can be made in `folder`, which is made at need; None: one can."""
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def make_folder(folder: Path) -> None:
    """With its parents. Nobody else may write to what is made, whatever the umask is."""
    for one in (*reversed(folder.parents), folder):
        if not one.exists():
            one.mkdir(mode=0o755, exist_ok=True)


def exposed(config: Config) -> list[str]:
    """What others on this machine may write to, or read although it holds a secret; a sentence each."""
    found = []
    mode = _mode(config.path)
    if mode & stat.S_IWOTH:
        found.append(msg("config-world-writable", path=config.path, command=f"chmod o-w {config.path}"))
    elif mode & stat.S_IROTH and _secret_inside(config):
        found.append(msg("config-world-readable", path=config.path, command=f"chmod 0640 {config.path}"))
    folders = [config.path.parent, state_dir(config)]
    if config.database.url is None:
        folders.append(config.database.data_dir)
    for folder in dict.fromkeys(folders):
        mode = _mode(folder)
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            found.append(msg("config-world-writable", path=folder, command=f"chmod o-w {folder}"))
    return found


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _secret_inside(config: Config) -> bool:
    """A token or a password is written in the file itself, not read from the environment or another file."""
    written = {
        ("telegram", "token"): config.telegram.token,
        ("web", "token"): config.web.token,
        ("database", "url"): _password(config),
    }
    return any(value is not None and place not in config.filled for place, value in written.items())


def _password(config: Config) -> str | None:
    url = config.database.url
    return None if url is None else next(passwords_in(url.get_secret_value()), None)
