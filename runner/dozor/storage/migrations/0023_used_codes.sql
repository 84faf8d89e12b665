-- One-time codes (telegram.totp) that were used: each is good once, across restarts of the bot.
-- Only an addition: the version before does not touch this table.

CREATE TABLE dozor.used_codes (
    user_id    bigint PRIMARY KEY,
    step       bigint NOT NULL,                               -- of 30 s, of the last code that was right
    message_id bigint NOT NULL                                -- that brought it; handled again it is no second use
);
