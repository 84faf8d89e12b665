"""The error of an embedded server that cannot start: one line, with what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from dozor.errors import StorageError
from dozor.storage.postgres.embedded import initdb, postmaster
from dozor.storage.postgres.embedded.server import find_embedded, start_embedded
from tests.templates import Templates


def refusal(data_dir: Path) -> str:
    with pytest.raises(StorageError) as caught:
        start_embedded(data_dir)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_pid_of_the_file_that_is_another_program_now_does_not_count(data_dir: Path) -> None:
    (data_dir / "data" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{data_dir}/data\n1700000000\n5432\n{data_dir}/data\n\n  1 2\nready   \n"
    )
    assert find_embedded(data_dir) is None
    with start_embedded(data_dir) as server:
        assert server.started


def test_a_damaged_pid_file_is_refused_with_what_to_do(data_dir: Path) -> None:
    pid_file = data_dir / "data" / "postmaster.pid"
    for content in ("", "\n", "garbage", "12x\n", "\0\0\0"):
        pid_file.write_text(content)
        text = refusal(data_dir)
        assert "damaged" in text, content
        assert str(pid_file) in text, content
        assert "remove this file" in text, content
    pid_file.unlink()
    start_embedded(data_dir).release()


def test_a_half_written_pid_file_of_a_dead_server_does_not_stop_the_start(data_dir: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    (data_dir / "data" / "postmaster.pid").write_text(f"{process.pid}\n{data_dir}/data\n17000")
    with start_embedded(data_dir) as server:
        assert server.started


def test_data_of_another_version_is_refused_with_what_to_do(data_dir: Path) -> None:
    (data_dir / "data" / "PG_VERSION").write_text("16\n")
    text = refusal(data_dir)
    assert "PostgreSQL 16" in text
    assert "pg_dumpall" in text
    (data_dir / "data" / "PG_VERSION").write_text("18\n")


def test_somebody_elses_folder_is_refused(new_dir: Path) -> None:
    new_dir.mkdir()
    (new_dir / "thesis.txt").write_text("mine")
    text = refusal(new_dir)
    assert "thesis.txt" in text
    assert "empty folder" in text
    assert [entry.name for entry in new_dir.iterdir() if entry.name != "lock"] == ["thesis.txt"]


def test_a_data_folder_that_is_no_database_is_refused(new_dir: Path) -> None:
    (new_dir / "data").mkdir(parents=True)
    assert "no PG_VERSION" in refusal(new_dir)


def test_a_file_in_the_way_is_named(short_dir: Path) -> None:
    path = Path(tempfile.mkdtemp(dir=short_dir)) / "file"
    path.write_text("")
    assert f"{path} is a file" in refusal(path)
    assert f"{path}" in refusal(path / "below")


def test_damaged_data_are_named_with_the_servers_own_words(data_dir: Path) -> None:
    (data_dir / "data" / "global" / "pg_control").unlink()
    text = refusal(data_dir)
    assert "backup" in text
    assert "pg_control" in text
    assert "server.log" in text


def test_a_bad_setting_is_told_with_the_servers_own_words(data_dir: Path) -> None:
    with (data_dir / "data" / "postgresql.auto.conf").open("a") as file:
        file.write("max_connections = 'many'\n")
    assert 'invalid value for parameter "max_connections"' in refusal(data_dir)


def test_a_killed_setup_is_begun_anew(new_dir: Path) -> None:
    (new_dir / "data.new" / "global").mkdir(parents=True)
    (new_dir / "data.new" / "PG_VERSION").write_text("18")
    start_embedded(new_dir).release()
    assert not (new_dir / "data.new").exists()


@pytest.mark.parametrize("letter", ["'", '"', "$", "`", "\\", "\n"])
def test_letters_that_a_shell_reads_are_refused(short_dir: Path, letter: str) -> None:
    text = refusal(short_dir / f"a{letter}b") if letter != "\n" else "plain path"
    assert "plain path" in text
    with pytest.raises(StorageError):
        start_embedded(short_dir / f"a{letter}b")
    assert not (short_dir / f"a{letter}b").exists()


def test_a_squatted_socket_folder_is_refused(short_dir: Path, templates: Templates) -> None:
    path = Path(tempfile.mkdtemp(dir=short_dir)) / ("y" * 120)
    templates.copy_plain(path)
    start_embedded(path).release()
    folder = initdb.choose_socket_dir(path / "data", initdb.find_account(path / "data"))
    folder.chmod(0o777)
    try:
        assert str(folder) in refusal(path)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("FATAL:  could not write lock file: No space left on device", "disk is full"),
        ("initdb: error: could not create directory: Permission denied", "permissions"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", "too little memory"),
        ("PANIC:  could not locate a valid checkpoint record at 0/1", "backup"),
        ("initdb: error: something new", "something new"),
    ],
)
def test_what_postgresql_says_is_explained(output: str, remedy: str) -> None:
    text = initdb.explain("PostgreSQL did not start", f"LOG:  noise\n{output}\n")
    assert remedy in text
    assert output.split(": ")[-1] in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7\n/d\n1\n5432\n/s\n\n 1 2\nready   \n", postmaster.Postmaster(7, Path("/s/.s.PGSQL.5432"), True)),
        ("7\n/d\n1\n5432\n/s\n\n 1 2\nstarting\n", postmaster.Postmaster(7, Path("/s/.s.PGSQL.5432"), False)),
        ("7\n/d\n1\n", postmaster.Postmaster(7, None, False)),
        ("-7\n", postmaster.Postmaster(7, None, False)),
        ("0\n", None),
        ("", None),
        ("seven\n", None),
    ],
)
def test_a_pid_file_is_read_line_by_line(text: str, expected: postmaster.Postmaster | None) -> None:
    assert postmaster.parse(text) == expected
