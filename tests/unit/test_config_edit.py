"""`dozor telegram setup --write`: values change, everything else stays byte for byte."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from dozor.config.source.edit import NotEditableError, set_in_section, write_text

NEW = {"chat": '"-100:17"', "admins": "[111]"}
ADDED = 'telegram:\n  chat: "-100:17"\n  admins: [111]\n'
FILES = {
    "as init writes it": (
        "language: en\n# about\ntelegram:\n  token: ${BOT_TOKEN:-}  # secret\n"
        "  chat: ${ALERT_CHAT:-}            # the group\n  admins: ${ADMINS:-}\n\n# end\ntasks: {}\n",
        "language: en\n# about\ntelegram:\n  token: ${BOT_TOKEN:-}  # secret\n"
        '  chat: "-100:17"                  # the group\n  admins: [111]\n\n# end\ntasks: {}\n',
    ),
    "no section": ("# head\ntasks: {}\n# foot", f"# head\n{ADDED}\ntasks: {{}}\n# foot"),
    "an empty section": (
        "telegram:  # later\n  # chat: 5\ntasks: {}\n",
        'telegram:  # later\n  chat: "-100:17"\n  admins: [111]\n  # chat: 5\ntasks: {}\n',
    ),
    "an empty section at the end": ("a: 1\ntelegram:", f"a: 1\n{ADDED}"),
    "empty values": (
        "telegram:\n    chat:   # which?\n    admins:\n    viewers: [1]\n",
        'telegram:\n    chat: "-100:17"   # which?\n    admins: [111]\n    viewers: [1]\n',
    ),
    "a block list": (
        "telegram:\n  admins:  # us\n    - 1   # ann\n    - 2   # bob\n  # then\n  chat: -5\nb: 2\n",
        'telegram:\n  admins: [111]   # bob\n  # then\n  chat: "-100:17"\nb: 2\n',
    ),
    "a flow mapping": (
        "telegram: {chat: 5, proxy: null}  # x\n",
        'telegram: {admins: [111], chat: "-100:17", proxy: null}  # x\n',
    ),
    "an empty flow mapping": ("telegram: {}\n", 'telegram: {chat: "-100:17", admins: [111]}\n'),
    "windows": (
        "telegram:\r\n  chat: 5\r\nb: 1\r\n",
        'telegram:\r\n  admins: [111]\r\n  chat: "-100:17"\r\nb: 1\r\n',
    ),
    "letters of two words": (
        "# Ёж 🦔\ntelegram:\n  chat: 'ж🦔'  # 🦔\n  admins: 1\n",
        '# Ёж 🦔\ntelegram:\n  chat: "-100:17"  # 🦔\n  admins: [111]\n',
    ),
    "nothing": ("", ADDED),
    "only a comment": ("# later\n", f"# later\n{ADDED}"),
}


@pytest.mark.parametrize("name", FILES)
def test_only_the_values_change(name: str) -> None:
    before, after = FILES[name]
    assert set_in_section(before, "telegram", NEW) == after
    assert yaml.safe_load(after)["telegram"]["chat"] == "-100:17"
    assert set_in_section(after, "telegram", NEW) == after, "doing it again changes nothing"


@pytest.mark.parametrize(
    "text",
    ["a: &x {chat: 1}\ntelegram: *x\n", "a: &x {chat: 1}\ntelegram:\n  <<: *x\n", "telegram: [1]\n", "[1]\n",
     "telegram: text\n", "a: [\n", "{telegram: {}}\n", "telegram:\n  chat: &c 5\nb: *c\n",
     "a: &c 5\ntelegram:\n  chat: *c\n", "telegram:\n  chat: |\n    text\n"],
)  # fmt: skip
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(NotEditableError):
        set_in_section(text, "telegram", NEW)


def test_a_file_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "config.yaml"
    real.write_text("a")
    real.chmod(0o640)
    link.symlink_to(real)
    write_text(link, "é\r\n")
    assert real.read_bytes() == "é\r\n".encode()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "real.yaml"]
