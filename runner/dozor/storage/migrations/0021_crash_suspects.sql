-- Which runs were in progress when a runner ended without being asked to: see dozor.supervision.core.crash_loop.
-- Only additions: the version before goes on working while this is applied, and does not touch these columns.

ALTER TABLE dozor.runners
    ADD COLUMN in_flight text[],                              -- tasks in a run; null: not recorded
    ADD COLUMN suspects  text[];                              -- tasks started one at a time, the present one first
