"""A database with tasks in every state, a history, incidents, and actions of people."""

from __future__ import annotations

from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from tests.bot.conftest import OPERATOR
from tests.bot.executor import Executor

BROKEN, WELL, PAUSED = "presale_checker", "auctions_checker", "report_mailer"

RUNS_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max, attempt,
                        error_type, error_text, traceback)
VALUES ($1, $2, now() - make_interval(secs => $3 + 1), now() - make_interval(secs => $3), $4, $5, $6, $7, $8,
        $9, $10, $11)
"""
INCIDENT_SQL = """
INSERT INTO dozor.incidents (id, task, kind, severity, state, fingerprint, summary, failures, opened_at,
                             updated_at, acknowledged_by, resolved_at, resolved_by)
VALUES ($1, $2, $3, $4, $5, 'f', 'ConnectionError: timed out', $6, now() - make_interval(secs => $7), now(),
        $8, now() - make_interval(secs => $9::float8), $10)
"""
# Of incident 2, for two pages.
DECISIONS_SQL = """
UPDATE dozor.incidents i SET decisions = (
    SELECT jsonb_agg(jsonb_build_object('at', extract(epoch FROM i.opened_at) + s.after) || s.entry
                     ORDER BY s.after)
    FROM (SELECT 0.0 AS after, '{"reason": "counted", "because": "threshold", "times": 2}'::jsonb AS entry
          UNION ALL SELECT 1, jsonb_build_object('reason', 'muted', 'kind', 'critical_stop', 'ref', 7,
                                                 'what', 'all', 'by', 'cli:ann@ops')
          UNION ALL SELECT 2, '{"reason": "queued", "kind": "critical_stop", "to": [""]}'
          UNION ALL SELECT 10 * n, jsonb_build_object('reason', 'queued', 'kind', 'reminder',
                                                      'to', jsonb_build_array('', '-1001:17'))
                    FROM generate_series(1, 14) AS n) AS s)
WHERE id = 2
"""
MESSAGE_SQL = """
INSERT INTO dozor.notifications (key, incident_id, task, kind, severity, payload, state, created_at,
    next_attempt_at, delivered_at, transport, decisions)
SELECT 'k', i.id, i.task, 'critical_stop', 'critical', '{}', 'delivered', i.opened_at + interval '2 s', now(),
       i.opened_at + interval '3 s', 'telegram', jsonb_build_array(jsonb_build_object(
           'at', extract(epoch FROM i.opened_at) + 3, 'reason', 'sent', 'transport', 'telegram'))
FROM dozor.incidents i WHERE i.id = 2
"""
AUDIT_SQL = """
INSERT INTO dozor.audit (at, actor, source, place, action, target, result)
VALUES (now() - make_interval(secs => $1), $2, $3, $4, $5, $6, $7)
"""
SILENCE_SQL = """
INSERT INTO dozor.silences (id, scope, target, created_by, created_at, ends_at)
VALUES (1, 'task', 'ton_deposits', $1, now(), now() + interval '1 hour')
"""
TITLES_SQL = """
INSERT INTO dozor.people (actor, name) VALUES ('chat:-500', 'Дежурные'), ('chat:-1001', 'Команда')
ON CONFLICT DO NOTHING
"""
RESET_SQL = """
DELETE FROM dozor.commands;
UPDATE dozor.silences SET ended_at = NULL;
DELETE FROM dozor.audit WHERE at > now() - interval '5 min';
UPDATE dozor.tasks t SET state = s.state, state_by = s.state_by, running_since = NULL,
    consecutive_failures = s.failures, failing_since = now() - make_interval(secs => s.since)
FROM (VALUES ('presale_checker', 'stopped', NULL, 5, 720.0), ('ton_deposits', 'backoff', NULL, 2, 720.0),
             ('auctions_checker', 'waiting', NULL, 0, NULL),
             ('report_mailer', 'paused', 'cli:ann@ops', 0, NULL),
             ('cache_warmer', 'held', NULL, 0, NULL), ('digest_sender', 'stopped', NULL, 5, 720.0))
     AS s(name, state, state_by, failures, since)
WHERE t.name = s.name
"""
TRACEBACK = 'Traceback (most recent call last):\n  File "presales.py", line 41\nConnectionError: timed out\n'


async def set_scene(pool: Pool, executor: Executor) -> None:
    """Times are whole numbers of minutes, so that texts do not change from second to second."""
    await executor.alive()
    await executor.add(WELL, State.WAITING, description="Закрывает аукционы", success_ago=240)
    await executor.add(BROKEN, State.STOPPED, 5, "Открывает предпродажи")
    await executor.add("ton_deposits", State.BACKOFF, 2)
    await executor.add(PAUSED, State.PAUSED, success_ago=90_000)
    await executor.add("cache_warmer", State.HELD, success_ago=300)
    await executor.add("digest_sender", State.STOPPED, 5)
    runs = [(900.0, "succeeded", 60, 2.4, 0.12, 1), (840.0, "succeeded", 1, 0.8, 0.8, 1)]
    failures = [(720.0 - 30 * number, "failed", 1, 2.0, 2.0, number + 1) for number in range(4)]
    for number, (ago, outcome, count, seconds, longest, attempt) in enumerate([*runs, *failures]):
        error = ("ConnectionError", "timed out", TRACEBACK) if outcome == "failed" else (None, None, None)
        run_id = f"1-{number}"
        await pool.execute(RUNS_SQL, run_id, BROKEN, ago, outcome, count, seconds, longest, attempt, *error)
    await pool.execute(
        INCIDENT_SQL, 1, BROKEN, "repeated_errors", "warning", "resolved", 3, 7200.0, None, 6900.0, None
    )
    await pool.execute(
        INCIDENT_SQL, 2, BROKEN, "critical_stop", "critical", "open", 5, 660.0, None, None, None
    )
    await pool.execute(
        INCIDENT_SQL, 3, "ton_deposits", "repeated_errors", "warning", "acknowledged", 2, 600.0,
        f"telegram:{OPERATOR}", None, None,
    )  # fmt: skip
    await pool.execute(
        INCIDENT_SQL, 4, None, "storm", "critical", "resolved", 2, 86_400.0, None, 86_000.0, None
    )
    await pool.execute(DECISIONS_SQL)
    await pool.execute(TITLES_SQL)
    await pool.execute(MESSAGE_SQL)
    await pool.execute(SILENCE_SQL, f"telegram:{OPERATOR}")
    await pool.execute("UPDATE dozor.incidents SET storm = 4 WHERE id IN (2, 3)")
    await pool.execute(AUDIT_SQL, 6900.0, "cli:ann@ops", "cli", "ops", "restart", BROKEN, "done")
    await pool.execute(
        AUDIT_SQL, 600.0, "telegram:777", "telegram", "-500", "/restart", "", "denied, 14 attempts"
    )


async def reset(pool: Pool) -> None:
    """As if nobody had done anything."""
    await pool.execute(RESET_SQL)
