"""Values that YAML or cron take and that mean something else than was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from dozor.config import load
from dozor.config.values.fields import parse_cron, parse_task_name


@pytest.mark.parametrize(
    "expression",
    [
        "*/90 * * * *",
        "0 */25 * * *",
        "0/61 * * * *",
        "1,*/90 * * * *",
        "0 0 */32 * *",
        "0 0 1 */13 *",
        "0 0 * * */8",
        "*/61 * * * * *",
        "10-20/15 * * * *",
        "0 9-17/10 * * *",
    ],
)
def test_a_step_beyond_its_range_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"larger than its range|больше диапазона"):
        parse_cron(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "*/5 * * * *",
        "*/60 * * * *",
        "0 */24 * * *",
        "10-20/11 * * * *",
        "0 9-17/2 * * 1-5",
        "0 9 1-7 * 1",
        "0 0 1 jan-dec/3 *",
    ],
)
def test_a_step_within_its_range_is_taken(expression: str) -> None:
    assert parse_cron(expression) == expression


@pytest.mark.parametrize("name", ["--help", "-", "-v", "-1"])
def test_a_name_that_looks_like_an_option_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"option|параметр"):
        parse_task_name(name)


@pytest.mark.parametrize("name", ["..", "on", "17", "a-b", "_x"])
def test_other_names_are_taken(name: str) -> None:
    assert parse_task_name(name) == name


HINTED = {
    "NO": "False",
    "off": "False",
    "Yes": "True",
    "3.10": "3.1",
    "1_000": "1000",
    "2024-01-05": "2024-01-05",
}
PLAIN = ["true", "false", "3.5", "-1", "text", '"NO"', "'3.10'", "y", "12:30:45", "0755", "1e5", "~", "0x1F"]


def hints(folder: Path, value: str, section: str) -> tuple[str, ...]:
    file = folder / "config.yaml"
    tasks = (
        "  one: {run: 'm:f'}"
        if section == "defaults"
        else f"  one:\n    run: m:f\n    args:\n      key: {value}"
    )
    defaults = f"defaults: {{args: {{key: {value}}}}}\n" if section == "defaults" else ""
    file.write_text(f"language: en\n{defaults}tasks:\n{tasks}\n")
    return load(file, {"VERSION": "3.10"}).hints


@pytest.mark.parametrize("section", ["tasks", "defaults"])
@pytest.mark.parametrize(("value", "read"), HINTED.items())
def test_an_argument_that_yaml_reads_otherwise_gets_a_hint(
    tmp_path: Path, value: str, read: str, section: str
) -> None:
    (hint,) = hints(tmp_path, value, section)
    assert f'args.key: is read as {read} (YAML); if text is meant, write "{value}"' in hint
    assert hint.startswith(f"{tmp_path / 'config.yaml'}:")


@pytest.mark.parametrize("value", [*PLAIN, "${VERSION}"])
def test_other_arguments_get_none(tmp_path: Path, value: str) -> None:
    assert hints(tmp_path, value, "tasks") == ()
