-- Why a message about an incident was sent, edited, held back or not sent: see dozor.alerting.model.decisions.
-- Only additions: the version before goes on working while this is applied, and does not touch these columns.

ALTER TABLE dozor.incidents
    ADD COLUMN decisions jsonb;                               -- before the outbox; written by the runner, whole
ALTER TABLE dozor.notifications
    ADD COLUMN decisions jsonb;                               -- of delivery; appended to in the settling statement

-- `log` with `entry` appended. The same again is counted in the last entry ("times", "last_at"). At most 40
-- entries: the first 5 stay, of the others the oldest goes and is counted in the one after it ("skipped").
-- dozor.alerting.model.decisions.record does the same; a test compares them.
CREATE FUNCTION dozor.with_decision(log jsonb, entry jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN entry IS NULL THEN log
        WHEN log IS NULL THEN jsonb_build_array(entry)
        WHEN (log -> -1) - 'at' - 'times' - 'last_at' - 'skipped' = entry - 'at' THEN
            jsonb_set(log, '{-1}', (log -> -1) || jsonb_build_object(
                'times', coalesce((log -> -1 ->> 'times')::bigint, 1) + 1, 'last_at', entry -> 'at'))
        WHEN jsonb_array_length(log) < 40 THEN log || jsonb_build_array(entry)
        ELSE jsonb_set(log - 5, '{5,skipped}', to_jsonb(
            coalesce((log -> 5 ->> 'skipped')::bigint, 0) + coalesce((log -> 5 ->> 'times')::bigint, 1)))
            || jsonb_build_array(entry)
    END
$$;
