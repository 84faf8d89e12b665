-- The topic and the bot that the message ids of a destination belong to, beside its chat: when one of them changes,
-- no old message is edited or replied to. Only additions: the version before goes on working while this is applied.

ALTER TABLE dozor.destinations
    ADD COLUMN thread_id bigint,               -- 0: the chat itself; null: not known
    ADD COLUMN bot_id    bigint;               -- null: not known
