-- What version 0.1 (commit 225c953) left in its database, after a kill -9: pg_dump --data-only --column-inserts,
-- without the tables of migrations and of the bot's menus; paths and host renamed.
-- Task payouts has failed 3 times of 5, its incident is open, the message about it is pending (the chat refused
-- the bot); task auctions runs. The marketplace: 3 users, an auction open with a held bid and one settled, a presale
-- paid, a deposit credited and one unmatched.
INSERT INTO dozor.cursors (name, "position", moved_at) VALUES ('ton:0:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a', '{"lt": 8, "hash": "0808080808080808080808080808080808080808080808080808080808080808"}', '2026-11-27 22:27:07.680512+00');
INSERT INTO dozor.destinations (key, chat_id, moved_to, held_until, dead_since, dead_reason, topic_lost) VALUES ('', -1001234567890, NULL, NULL, '2026-11-27 22:27:21.426112+00', 'bot was kicked from the supergroup chat', false);
INSERT INTO dozor.incidents (id, task, kind, severity, state, fingerprint, summary, failures, opened_at, updated_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, notified_at, occurrences, calm_since, ack_expires_at, level_since, reminders, level, explained_by, silenced_by, storm, told, facts) VALUES (1, 'payouts', 'repeated_errors', 'warning', 'open', 'RuntimeError payouts.py:5 in check', 'RuntimeError: provider is away', 3, '2026-11-27 22:27:21.410577+00', '2026-11-27 22:27:21.410577+00', NULL, NULL, NULL, NULL, '2026-11-27 22:27:21.410577+00', 1, NULL, NULL, '2026-11-27 22:27:21.410577+00', 0, 0, NULL, NULL, NULL, true, '{"failures": 3, "error_text": "provider is away", "error_type": "RuntimeError", "error_where": "payouts.py:5 in check", "next_run_at": 1795818477.4105768, "max_failures": 5, "failing_since": 1795818434.40989}');
INSERT INTO dozor.incidents (id, task, kind, severity, state, fingerprint, summary, failures, opened_at, updated_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, notified_at, occurrences, calm_since, ack_expires_at, level_since, reminders, level, explained_by, silenced_by, storm, told, facts) VALUES (2, NULL, 'telegram', 'critical', 'open', '-1001234567890', 'bot was kicked from the supergroup chat', 1, '2026-11-27 22:27:21.436824+00', '2026-11-27 22:27:21.436824+00', NULL, NULL, NULL, NULL, '2026-11-27 22:27:21.436824+00', 1, NULL, NULL, '2026-11-27 22:27:21.436824+00', 0, 0, NULL, NULL, NULL, true, '{"text": "bot was kicked from the supergroup chat", "subject": "-1001234567890", "trouble": "telegram", "failing_since": 1795818441.4368246}');
INSERT INTO dozor.living_messages (destination, incident_id, first_id, message_id, shown_at, edited_at) VALUES ('111', 2, 2, 2, '2026-11-27 22:27:21.436824+00', NULL);
INSERT INTO dozor.notifications (id, key, incident_id, task, kind, severity, payload, state, attempts, unknown_outcomes, created_at, next_attempt_at, delivered_at, transport, message_id, last_error, destination, priority, expires_at) OVERRIDING SYSTEM VALUE VALUES (1, '1-1', NULL, NULL, 'runner_started', 'info', '{"count": 2, "starts": 1}', 'delivered', 1, 0, '2026-11-27 22:27:09.415759+00', '2026-11-27 22:27:09.415759+00', '2026-11-27 22:27:14.396578+00', 'telegram', 1, NULL, '', 3, '2026-11-27 23:27:09.415759+00');
INSERT INTO dozor.notifications (id, key, incident_id, task, kind, severity, payload, state, attempts, unknown_outcomes, created_at, next_attempt_at, delivered_at, transport, message_id, last_error, destination, priority, expires_at) OVERRIDING SYSTEM VALUE VALUES (2, '1-2', 1, 'payouts', 'repeated_errors', 'warning', '{"failures": 3, "error_text": "provider is away", "error_type": "RuntimeError", "error_where": "payouts.py:5 in check", "next_run_at": 1795818477.4105768, "max_failures": 5, "failing_since": 1795818434.40989}', 'pending', 1, 0, '2026-11-27 22:27:21.410577+00', '2026-11-27 22:27:51.439098+00', NULL, 'console', NULL, 'bot was kicked from the supergroup chat', '', 1, NULL);
INSERT INTO dozor.notifications (id, key, incident_id, task, kind, severity, payload, state, attempts, unknown_outcomes, created_at, next_attempt_at, delivered_at, transport, message_id, last_error, destination, priority, expires_at) OVERRIDING SYSTEM VALUE VALUES (3, '1-3@111', 2, NULL, 'trouble', 'critical', '{"text": "bot was kicked from the supergroup chat", "subject": "-1001234567890", "trouble": "telegram", "failing_since": 1795818441.4368246}', 'delivered', 1, 0, '2026-11-27 22:27:21.436824+00', '2026-11-27 22:27:21.436824+00', '2026-11-27 22:27:21.492488+00', 'telegram', 2, NULL, '111', 0, NULL);
INSERT INTO dozor.runners (id, host, pid, version, started_at, seen_at, ended_at, clean) OVERRIDING SYSTEM VALUE VALUES (1, 'old-host', 12744, '0.1.0', '2026-11-27 22:27:09.339313+00', '2026-11-27 22:27:20.495855+00', NULL, NULL);
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max, attempt, error_type, error_text, traceback) VALUES ('1-9', 'payouts', '2026-11-27 22:27:09.417208+00', '2026-11-27 22:27:13.428576+00', 'succeeded', 5, 0.10123705863952637, 0.08723068237304688, 1, NULL, NULL, NULL);
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max, attempt, error_type, error_text, traceback) VALUES ('1-11', 'payouts', '2026-11-27 22:27:14.409146+00', '2026-11-27 22:27:14.40989+00', 'failed', 1, 0.0007441043853759766, 0.0007441043853759766, 1, 'RuntimeError', 'provider is away', 'Traceback (most recent call last):
  File "/opt/dozor/runner/supervision/execution.py", line 51, in carry_out
    await spec.function()
  File "/srv/shop/payouts.py", line 5, in check
    if text != "ok": raise RuntimeError(text)
                     ^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: provider is away
');
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max, attempt, error_type, error_text, traceback) VALUES ('1-14', 'payouts', '2026-11-27 22:27:15.410194+00', '2026-11-27 22:27:15.411022+00', 'failed', 1, 0.000827789306640625, 0.000827789306640625, 2, 'RuntimeError', 'provider is away', 'Traceback (most recent call last):
  File "/opt/dozor/runner/supervision/execution.py", line 51, in carry_out
    await spec.function()
  File "/srv/shop/payouts.py", line 5, in check
    if text != "ok": raise RuntimeError(text)
                     ^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: provider is away
');
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max, attempt, error_type, error_text, traceback) VALUES ('1-21', 'payouts', '2026-11-27 22:27:21.411022+00', '2026-11-27 22:27:21.410577+00', 'failed', 1, -0.00044465065002441406, -0.00044465065002441406, 3, 'RuntimeError', 'provider is away', 'Traceback (most recent call last):
  File "/opt/dozor/runner/supervision/execution.py", line 51, in carry_out
    await spec.function()
  File "/srv/shop/payouts.py", line 5, in check
    if text != "ok": raise RuntimeError(text)
                     ^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: provider is away
');
INSERT INTO dozor.tasks (name, configured, "position", description, schedule, max_consecutive_failures, state, consecutive_failures, runs_total, failures_total, last_started_at, last_success_at, last_duration, failing_since, last_failed_at, last_error_type, last_error_text, last_error_where, next_run_at, running_since, state_by, progress_done, progress_total, backlog_size, backlog_oldest_at, updated_at) VALUES ('payouts', true, 0, '', 'every 1s', 5, 'backoff', 3, 8, 3, '2026-11-27 22:27:21.411022+00', '2026-11-27 22:27:13.428576+00', -0.00044465065002441406, '2026-11-27 22:27:14.40989+00', '2026-11-27 22:27:21.410577+00', 'RuntimeError', 'provider is away', 'payouts.py:5 in check', '2026-11-27 22:27:57.410577+00', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-27 22:27:21.414657+00');
INSERT INTO dozor.tasks (name, configured, "position", description, schedule, max_consecutive_failures, state, consecutive_failures, runs_total, failures_total, last_started_at, last_success_at, last_duration, failing_since, last_failed_at, last_error_type, last_error_text, last_error_where, next_run_at, running_since, state_by, progress_done, progress_total, backlog_size, backlog_oldest_at, updated_at) VALUES ('auctions', true, 1, '', 'every 1s', 5, 'waiting', 0, 13, 0, '2026-11-27 22:27:21.409807+00', '2026-11-27 22:27:21.421246+00', 0.011438846588134766, NULL, NULL, NULL, NULL, NULL, '2026-11-27 22:27:22.409303+00', NULL, NULL, NULL, NULL, 0, NULL, '2026-11-27 22:27:21.438342+00');
INSERT INTO market.currencies (code, decimals) VALUES ('TON', 9);
INSERT INTO market.currencies (code, decimals) VALUES ('USDT', 6);
INSERT INTO market.users (id, name, created_at) OVERRIDING SYSTEM VALUE VALUES (1, 'seller', '2026-11-27 22:27:07.563735+00');
INSERT INTO market.users (id, name, created_at) OVERRIDING SYSTEM VALUE VALUES (2, 'ann', '2026-11-27 22:27:07.610989+00');
INSERT INTO market.users (id, name, created_at) OVERRIDING SYSTEM VALUE VALUES (3, 'bob', '2026-11-27 22:27:07.627626+00');
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (1, NULL, 'house', 'TON', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (2, NULL, 'house', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (4, NULL, 'external', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (6, NULL, 'unattributed', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (8, 1, 'held', 'TON', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (10, 1, 'available', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (11, 1, 'held', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (12, 1, 'collateral', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (15, 2, 'collateral', 'TON', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (16, 2, 'available', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (17, 2, 'held', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (18, 2, 'collateral', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (21, 3, 'collateral', 'TON', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (22, 3, 'available', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (23, 3, 'held', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (24, 3, 'collateral', 'USDT', 0);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (9, 1, 'collateral', 'TON', 100);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (19, 3, 'available', 'TON', 600);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (20, 3, 'held', 'TON', 400);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (3, NULL, 'external', 'TON', -3570);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (5, NULL, 'unattributed', 'TON', 500);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (13, 2, 'available', 'TON', 820);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (7, 1, 'available', 'TON', 950);
INSERT INTO market.accounts (id, user_id, kind, currency, balance) OVERRIDING SYSTEM VALUE VALUES (14, 2, 'held', 'TON', 200);
INSERT INTO market.auctions (id, seller_id, currency, title, sealed, start_price, min_increment, reserve_price, fee_bps, created_at, ends_at, state, closed_at, winning_bid_id) OVERRIDING SYSTEM VALUE VALUES (1, 1, 'TON', '', false, 1, 1, NULL, 333, '2026-11-27 22:27:07.639508+00', '2100-01-01 00:00:00+00', 'open', NULL, NULL);
INSERT INTO market.auctions (id, seller_id, currency, title, sealed, start_price, min_increment, reserve_price, fee_bps, created_at, ends_at, state, closed_at, winning_bid_id) OVERRIDING SYSTEM VALUE VALUES (2, 1, 'TON', '', false, 1, 1, NULL, 0, '2026-11-27 22:27:07.655932+00', '2026-11-27 22:27:06.662628+00', 'settled', '2026-11-27 22:27:09.543991+00', 3);
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (1, 'gift:1', NULL, '2026-11-27 22:27:07.583751+00', '763');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (2, 'gift:2', NULL, '2026-11-27 22:27:07.621735+00', '765');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (3, 'gift:3', NULL, '2026-11-27 22:27:07.631738+00', '767');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (4, 'pledge:1', NULL, '2026-11-27 22:27:07.635486+00', '768');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (5, 'bid:1:held', NULL, '2026-11-27 22:27:07.643638+00', '770');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (6, 'bid:2:held', NULL, '2026-11-27 22:27:07.651579+00', '771');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (7, 'bid:1:outbid', 5, '2026-11-27 22:27:07.651579+00', '771');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (8, 'bid:3:held', NULL, '2026-11-27 22:27:07.657631+00', '773');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (9, 'presale:1:paid', NULL, '2026-11-27 22:27:07.667692+00', '775');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (10, 'ton:0:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a:7:0707070707070707070707070707070707070707070707070707070707070707', NULL, '2026-11-27 22:27:07.680512+00', '779');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (11, 'ton:0:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a:8:0808080808080808080808080808080808080808080808080808080808080808', NULL, '2026-11-27 22:27:07.680512+00', '779');
INSERT INTO market.movements (id, reference, ends_hold, posted_at, posted_in) VALUES (12, 'auction:2:settled', 8, '2026-11-27 22:27:09.543991+00', '784');
INSERT INTO market.bids (id, auction_id, bidder_id, amount, placed_at, state, hold_movement_id) VALUES (2, 1, 3, 400, '2026-11-27 22:27:07.653397+00', 'held', 6);
INSERT INTO market.bids (id, auction_id, bidder_id, amount, placed_at, state, hold_movement_id) VALUES (1, 1, 2, 300, '2026-11-27 22:27:07.647661+00', 'outbid', 5);
INSERT INTO market.bids (id, auction_id, bidder_id, amount, placed_at, state, hold_movement_id) VALUES (3, 2, 2, 50, '2026-11-27 22:27:07.658989+00', 'won', 8);
INSERT INTO market.ton_wallets (address, user_id, after_lt, enabled, created_at) VALUES ('0:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a', NULL, 0, true, '2026-11-27 22:27:07.6718+00');
INSERT INTO market.deposits (id, account, lt, hash, currency, amount, sender, comment, user_id, state, received_at, seen_at, alerted_at) VALUES (1, '0:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a', 7, '\x0707070707070707070707070707070707070707070707070707070707070707', 'TON', 500, '0:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b', NULL, NULL, 'unmatched', '1970-01-01 00:00:01+00', '2026-11-27 22:27:07.680512+00', NULL);
INSERT INTO market.deposits (id, account, lt, hash, currency, amount, sender, comment, user_id, state, received_at, seen_at, alerted_at) VALUES (2, '0:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a', 8, '\x0808080808080808080808080808080808080808080808080808080808080808', 'TON', 70, '0:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b', 'INV-1', 2, 'credited', '1970-01-01 00:00:02+00', '2026-11-27 22:27:07.680512+00', NULL);
INSERT INTO market.invoices (id, code, user_id, created_at) OVERRIDING SYSTEM VALUE VALUES (1, 'INV-1', 2, '2026-11-27 22:27:07.676998+00');
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (1, 3, 'TON', -1000);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (1, 7, 'TON', 1000);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (2, 3, 'TON', -1000);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (2, 13, 'TON', 1000);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (3, 3, 'TON', -1000);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (3, 19, 'TON', 1000);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (4, 7, 'TON', -100);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (4, 9, 'TON', 100);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (5, 14, 'TON', 300);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (5, 13, 'TON', -300);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (6, 20, 'TON', 400);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (6, 19, 'TON', -400);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (7, 13, 'TON', 300);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (7, 14, 'TON', -300);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (8, 13, 'TON', -50);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (8, 14, 'TON', 50);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (9, 13, 'TON', -200);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (9, 14, 'TON', 200);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (10, 3, 'TON', -500);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (11, 3, 'TON', -70);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (11, 13, 'TON', 70);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (10, 5, 'TON', 500);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (12, 7, 'TON', 50);
INSERT INTO market.postings (movement_id, account_id, currency, amount) VALUES (12, 14, 'TON', -50);
INSERT INTO market.presales (id, seller_id, buyer_id, currency, title, price, penalty, fee_bps, paid_at, deliver_by, remind_at, reminded_at, state, closed_at, penalty_taken, payment_movement_id) VALUES (1, 1, 2, 'TON', '', 200, 20, 0, '2026-11-27 22:27:07.667692+00', '2100-01-01 00:00:00+00', NULL, NULL, 'paid', NULL, NULL, 9);
SELECT pg_catalog.setval('dozor.audit_id_seq', 1, false);
SELECT pg_catalog.setval('dozor.commands_id_seq', 1, false);
SELECT pg_catalog.setval('dozor.notifications_id_seq', 3, true);
SELECT pg_catalog.setval('dozor.quarantine_id_seq', 1, false);
SELECT pg_catalog.setval('dozor.runners_id_seq', 1, true);
SELECT pg_catalog.setval('market.accounts_id_seq', 24, true);
SELECT pg_catalog.setval('market.auctions_id_seq', 2, true);
SELECT pg_catalog.setval('market.bids_id_seq', 3, true);
SELECT pg_catalog.setval('market.deposits_id_seq', 2, true);
SELECT pg_catalog.setval('market.events_id_seq', 1, false);
SELECT pg_catalog.setval('market.invoices_id_seq', 1, true);
SELECT pg_catalog.setval('market.movements_id_seq', 12, true);
SELECT pg_catalog.setval('market.presales_id_seq', 1, true);
SELECT pg_catalog.setval('market.users_id_seq', 3, true);
