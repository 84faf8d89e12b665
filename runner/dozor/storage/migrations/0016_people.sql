-- What people are called, as their Telegram told it: alerts say who has taken something on, after a restart as well.

CREATE TABLE dozor.people (
    actor  text PRIMARY KEY,                   -- "telegram:111"
    name   text NOT NULL
);
