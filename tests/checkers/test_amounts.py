"""Amounts in `args`: exact, with a unit, and refused by `dozor check` with what would be right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dozor.config import load
from dozor.config.imports.checkers import import_checkers
from dozor.errors import ConfigError, Fatal
from dozor.language import Language
from dozor.language.process import language_for_now
from dozor_market.arguments.amounts import read_amount, read_amounts
from dozor_market.ledger import MAX_AMOUNT
from dozor_market.ton_deposits import dust_limits, single_source_limits
from tests.cli.inside import run_inside

TON = 10**9


@pytest.mark.parametrize(
    ("currency", "value", "units"),
    [
        ("TON", 0, 0),
        ("TON", 1_500_000_000, 1_500_000_000),
        ("TON", "1.5 TON", 1_500_000_000),
        ("TON", "0 TON", 0),
        ("TON", "0.000000001 TON", 1),
        ("TON", "1.500000000000 TON", 1_500_000_000),
        ("TON", " 10 TON ", 10 * TON),
        ("TON", "1  TON", TON),
        ("TON", "9223372036.854775807 TON", MAX_AMOUNT),
        ("USDT", "5 USDT", 5_000_000),
        ("NOT", 7, 7),
    ],
)
def test_an_amount_is_smallest_units_or_decimal_text_with_a_unit(
    currency: str, value: object, units: int
) -> None:
    assert read_amount(currency, value) == units


WRONG: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "True is no amount"),
    (False, "False is no amount"),
    (1e9, '1000000000 (smallest units) or "1000000000 TON"'),
    (1.5, "fraction"),
    (float("nan"), "fraction"),
    (float("inf"), "fraction"),
    (-float("inf"), "fraction"),
    (-1, "below zero"),
    (MAX_AMOUNT + 1, "more than the ledger can hold"),
    ("", "is no amount"),
    ("   ", "is no amount"),
    ("10", '10 (smallest units) or "10 TON"'),
    (" 10 ", '10 (smallest units) or "10 TON"'),
    ("1.5", '"1.5 TON"'),
    ("1e9", '1000000000 (smallest units) or "1000000000 TON"'),
    ("1.5e+3", '1500 (smallest units) or "1500 TON"'),
    ("1e99", '"1.5 TON"'),
    ("1e9 TON", "is no amount"),
    ("1,5 TON", "'1.5 TON'"),
    ("1,5", "'1.5 TON'"),
    ("1 000 TON", "is no amount"),
    ("1_000 TON", "is no amount"),
    ("1.5TON", '"1.5 TON"'),
    ("5 USDT", '"5 TON"'),
    ("5 ton", '"5 TON"'),
    ("5 nanoton", '"5 TON"'),
    ("-1 TON", "below zero"),
    ("\u22121 TON", "below zero"),
    ("+1 TON", "is no amount"),
    ("NaN TON", "is no amount"),
    ("Infinity TON", "is no amount"),
    ("0.0000000001 TON", "9 decimals"),
    (".5 TON", "is no amount"),
    ("5. TON", "is no amount"),
    ("0x10 TON", "is no amount"),
    ("\u0661 TON", "is no amount"),  # a digit, but not one of 0 to 9
    ("1.5 TON TON", "is no amount"),
    ("TON", "is no amount"),
    ("9223372036.854775808 TON", "more than the ledger can hold"),
    ([5], "is no amount"),
    ({"TON": 5}, "is no amount"),
]


@pytest.mark.parametrize(("value", "said"), WRONG, ids=[repr(value)[:30] for value, _ in WRONG])
def test_everything_else_is_refused_with_what_would_be_right(value: object, said: str) -> None:
    for language in Language:
        with language_for_now(language), pytest.raises(ValueError, match=r"\S") as refused:
            read_amount("TON", value)
        if language is Language.EN:
            assert said in str(refused.value)
        else:
            assert re.search("[а-я]", str(refused.value))


def test_decimals_of_a_currency_that_only_the_database_knows_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="known: TON, USDT"):
        read_amount("NOT", "5 NOT")


def test_the_checker_reads_its_arguments_by_the_same_rule() -> None:
    limits = single_source_limits({"TON": "1.5 TON"}, {"USDT": "5 USDT"})
    assert (limits.transaction["TON"], limits.in_window["USDT"]) == (1_500_000_000, 5_000_000)
    assert single_source_limits(None, {"USDT": 2**64}).in_window["USDT"] == 2**64  # compared, never stored
    assert dust_limits({"TON": "0.02 TON"})["TON"] == 20_000_000
    assert dust_limits(None)["TON"] == 10_000_000
    with pytest.raises(Fatal, match=r"dust\.TON: .* below zero"):
        dust_limits({"TON": "-1 TON"})
    with pytest.raises(Fatal, match=r"single_source_limit.TON"):
        single_source_limits({"TON": None})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="amounts by currency"):
        read_amounts("dust", [{"TON": 5}])


ARGS = """
      dust: {TON: 1e9, USDT: "5 TON", ton: 5}
      single_source_limit:
        TON: null
        USDT: [5]
      single_source_window_limit: [{TON: 5}]
      single_source_window: .nan
      behind_after: -1
"""


def config(
    folder: Path, args: str, language: str = "en", run: str = "ton_deposits:check_transactions"
) -> Path:
    path = folder / "config.yaml"
    path.write_text(
        f"language: {language}\ndatabase: {{url: 'postgresql://localhost/x'}}\ntasks:\n"
        f"  money:\n    run: dozor_market.{run}\n    every: 60s\n    args:{args}"
    )
    return path


@pytest.mark.parametrize(("language", "word"), [("en", "write"), ("ru", "напишите")])
async def test_dozor_check_names_every_wrong_amount_by_its_line(
    tmp_path: Path, language: str, word: str
) -> None:
    done = await run_inside("check", "-c", config(tmp_path, ARGS, language))
    assert done.returncode == 2
    found = [
        (line.split(":")[1], line.split(" ")[1].rstrip(":"))
        for line in done.stderr.splitlines()
        if "tasks.money.args" in line
    ]
    place = "tasks.money.args"
    assert sorted(found) == [
        ("10", f"{place}.single_source_limit.TON"),
        ("11", f"{place}.single_source_limit.USDT"),
        ("12", f"{place}.single_source_window_limit"),
        ("13", f"{place}.single_source_window"),
        ("14", f"{place}.behind_after"),
        ("8", f"{place}.dust.TON"),
        ("8", f"{place}.dust.USDT"),
        ("8", f"{place}.dust.ton"),
    ]
    assert word in done.stderr


def test_null_for_a_whole_limit_is_refused_and_what_is_right_is_taken(tmp_path: Path) -> None:
    for name in ("dust", "single_source_limit", "single_source_window_limit"):
        with pytest.raises(ConfigError, match=f"args.{name}: .*remove the key"):
            import_checkers(load(config(tmp_path, f" {{{name}: null}}\n")))
    right = """
      dust: {TON: "0.01 TON"}
      single_source_limit:
        TON: ${LIMIT}
        USDT: 0
      behind_after: null
"""
    assert list(import_checkers(load(config(tmp_path, right), {"LIMIT": "1.5 TON"}))) == ["money"]
    assert list(import_checkers(load(config(tmp_path, right), {"LIMIT": "1500000000"}))) == ["money"]


@pytest.mark.parametrize("args", ["{batch: 0}", "{batch: 2.5}", "{workers: true}", "{batch: null}"])
@pytest.mark.parametrize("run", ["auctions:check_auctions", "presales:check_presales"])
def test_batches_and_workers_are_counts(tmp_path: Path, run: str, args: str) -> None:
    with pytest.raises(ConfigError, match="whole number of at least 1"):
        import_checkers(load(config(tmp_path, f" {args}\n", run=run)))
