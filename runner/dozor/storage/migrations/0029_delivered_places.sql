-- Where a notification was delivered, and answers of the bot that are not delivered yet.
-- Only additions: the version before goes on working while this is applied, and does not touch them.

-- The message id of a notification is valid in this place only; null: not known.
ALTER TABLE dozor.notifications
    ADD COLUMN chat_id   bigint,
    ADD COLUMN thread_id bigint,                              -- 0: the chat itself
    ADD COLUMN bot_id    bigint;

-- An answer is owed from the transaction that takes its command or press until Telegram has it.
CREATE TABLE dozor.bot_answers (
    update_id    bigint PRIMARY KEY,                          -- of the command or press
    source       jsonb NOT NULL,                              -- the update, as Telegram sent it
    state        jsonb,                                       -- of a command that was submitted; null: none was
    attempted    boolean NOT NULL DEFAULT false,              -- the answer may have arrived
    expires_at   timestamptz NOT NULL                         -- worth nothing after this
);
