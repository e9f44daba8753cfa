-- A request that has been answered is none any more: the logs of both sides hold what became of it, and here nothing of it
-- stays. So every row is a pending one. Owned by the Friendship module.

DELETE FROM friendship.requests WHERE state <> 1;

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX friendship.requests_one_pending, friendship.requests_sent, friendship.requests_received,
    friendship.requests_due;
-- squawk-ignore ban-drop-column
ALTER TABLE friendship.requests DROP COLUMN state, DROP COLUMN answered_at;

-- One request between two users, whichever of them asked: crossing requests can't both stand.
CREATE UNIQUE INDEX requests_of_two ON friendship.requests (least(sender, recipient), greatest(sender, recipient));
CREATE INDEX requests_sent ON friendship.requests (sender, id);
CREATE INDEX requests_received ON friendship.requests (recipient, id);
-- For the sweep.
CREATE INDEX requests_due ON friendship.requests (expires_at);
