"""SQL against a real server: every migration, every statement, every enumeration."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from enum import StrEnum

import asyncpg

from dozor.alerting.model.incident import IncidentState
from dozor.alerting.policy.silences import SilenceScope
from dozor.cluster.replicas import ReplicaRole
from dozor.config.values.incident_kinds import Severity
from dozor.control.commands.actor import Source
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE
from dozor.storage.postgres.pool import connect, disconnect
from dozor.storage.tables.pool_runs import PoolRunOutcome, PoolRunState, StopRequest
from dozor.supervision.core.state import RunOutcome, State
from dozor_market.ledger import AccountKind
from dozor_market.schema import MIGRATIONS
from dozor_market.ton.agreement.pending import PendingState
from dozor_market.ton.incidents import IncidentKind
from tests.house.sources import constants, module_name, python_files

WORDS: dict[str, type[StrEnum] | frozenset[str]] = {
    "dozor.tasks.state": State,
    "dozor.runs.outcome": RunOutcome,
    "dozor.commands.run_outcome": RunOutcome,
    "dozor.incidents.state": IncidentState,
    "dozor.incidents.severity": Severity,
    "dozor.notifications.severity": Severity,
    "dozor.audit.source": Source,
    "market.accounts.kind": AccountKind,
    "dozor.pool_runs.state": PoolRunState,
    "dozor.pool_runs.outcome": PoolRunOutcome,
    "dozor.pool_runs.stop": StopRequest,
    # Words that only SQL speaks.
    "dozor.notifications.state": frozenset(
        {"pending", "sending", "delivered", "undeliverable", "superseded", "expired"}
    ),
    "dozor.replicas.role": ReplicaRole,
    "dozor.silences.scope": SilenceScope,
    "dozor.commands.state": frozenset({"pending", "done", "refused", "expired"}),
    "market.auctions.state": frozenset({"open", "settled", "unsold", "quarantined"}),
    "market.bids.state": frozenset({"held", "outbid", "won", "lost"}),
    "market.presales.state": frozenset({"paid", "delivered", "overdue", "quarantined"}),
    "market.deposits.state": frozenset({"credited", "unmatched", "attributed", "dust", "internal"}),
    "market.ton_pending.state": PendingState,
    "market.ton_incidents.kind": IncidentKind,
}
"""Each column whose CHECK lists words, and where the program keeps the same words."""

CHECKS_SQL = """
SELECT conrelid::regclass::text AS relation, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype = 'c' AND connamespace IN ('dozor'::regnamespace, 'market'::regnamespace)
"""
ENUMERATION = re.compile(r"CHECK \(\((\w+) = ANY \(ARRAY\[(.*)\]\)\)\)")
STATEMENT = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|TRUNCATE|WITH|LOCK|CREATE|DROP|ALTER)\s"
)
FILLING = "(SELECT 1::bigint, now())"
"""For the gap of a statement that takes a backlog query, see dozor.toolkit."""
NAMES = {"{schema}": "market", "{table}": "schema_migrations"}
"""For the identifiers of a statement that serves every set of migrations, see
storage.postgres.migrate."""
SCHEMAS = re.compile(r"\b(dozor|market)\.\w")


async def test_every_migration_applies_to_an_empty_database_and_leaves_its_transaction_alone(
    empty_database: str,
) -> None:
    migrations = [(found, migration) for found in (CORE, MIGRATIONS) for migration in found.load()]
    done = await migrate(empty_database, (CORE, MIGRATIONS))
    assert done.applied == tuple(found.label(migration.name) for found, migration in migrations)
    for _, migration in migrations:
        assert not re.search(r"^\s*(COMMIT|ROLLBACK|BEGIN)\s*;", migration.sql, re.IGNORECASE | re.MULTILINE)


async def test_every_statement_of_the_program_is_valid_on_the_migrated_schema(market_database: str) -> None:
    refused = []
    statements = list(_statements())
    connection = await connect(market_database)
    for name, statement in statements:
        try:
            await connection.prepare(_filled_in(statement))
        except asyncpg.PostgresError as error:
            refused.append(f"{name}: {error}")
    await disconnect(connection)
    assert not refused, "\n".join(refused)
    assert len(statements) > 50, "the search for statements has lost its way"


def test_statements_on_our_tables_stand_in_constants() -> None:
    loose: list[str] = []
    for path in python_files("runner", "bot"):
        tree = ast.parse(path.read_text())
        allowed = {id(value) for name, value in constants(tree) if name.isupper()}
        loose += [
            f"{path.name}:{line}: {text.strip()[:60]}"
            for line, text in _texts(tree, allowed)
            if STATEMENT.match(text) and SCHEMAS.search(text)
        ]
    assert not loose, "make it a constant of the module, so that it is checked:\n" + "\n".join(loose)


async def test_words_of_a_check_are_the_words_of_the_program(market_database: str) -> None:
    connection = await connect(market_database)
    rows = await connection.fetch(CHECKS_SQL)
    await disconnect(connection)
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        if matched := ENUMERATION.fullmatch(row["definition"]):
            found[f"{row['relation']}.{matched[1]}"] = frozenset(re.findall(r"'([^']*)'", matched[2]))
    expected = {column: frozenset(map(str, words)) for column, words in WORDS.items()}
    assert found == expected


def _filled_in(statement: str) -> str:
    statement = statement.replace("({})", FILLING)
    for gap, name in NAMES.items():
        statement = statement.replace(gap, name)
    return statement


def _statements() -> Iterator[tuple[str, str]]:
    """Constants that are named X_SQL or read as a statement, with their values."""
    for path in python_files("runner", "bot"):
        names = [name for name, _ in constants(ast.parse(path.read_text())) if name.isupper()]
        if not names:
            continue
        module = importlib.import_module(module_name(path))
        for name in names:
            value = getattr(module, name)
            if name.endswith("_SQL") or (isinstance(value, str) and STATEMENT.match(value)):
                assert isinstance(value, str), f"{module.__name__}.{name} is named as a statement"
                yield f"{module.__name__}.{name}", value


def _texts(tree: ast.AST, allowed: set[int]) -> Iterator[tuple[int, str]]:
    """Lines and texts of literals outside the allowed values and docstrings; f-strings' pieces count."""
    skipped = set(allowed)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        stack.extend(ast.iter_child_nodes(node))
