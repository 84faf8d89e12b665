-- When a living message was last edited: a fresh process knows from it how fast it may go on.
-- Only an addition: the version before goes on working while this is applied. (destinations.topic_lost is no
-- longer used: a fresh process tries the topic once, which may have been opened or configured anew.)

ALTER TABLE dozor.living_messages ADD COLUMN edited_at timestamptz;
