-- Who asked whom, and who are friends. Owned by the Friendship module; whether a user exists is asked through
-- profile.user_exists.

CREATE SCHEMA friendship;

-- state is the number of FriendRequest.State: 1 pending, 2 accepted, 3 rejected. Answered requests stay as history.
CREATE TABLE friendship.requests (
    id          bigint      PRIMARY KEY DEFAULT public.ringway_next_id(),
    sender      bigint      NOT NULL,
    recipient   bigint      NOT NULL,
    message     text        NOT NULL CHECK (char_length(message) <= 256),
    state       smallint    NOT NULL DEFAULT 1 CHECK (state IN (1, 2, 3)),
    created_at  timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    CHECK (sender <> recipient),
    CHECK ((state = 1) = (answered_at IS NULL))
);
-- One pending request between two users, whichever of them asked: crossing requests can't both stand.
CREATE UNIQUE INDEX requests_one_pending
    ON friendship.requests (least(sender, recipient), greatest(sender, recipient)) WHERE state = 1;
CREATE INDEX requests_sent ON friendship.requests (sender, id) WHERE state = 1;
CREATE INDEX requests_received ON friendship.requests (recipient, id) WHERE state = 1;

-- A friendship is two rows, one for each side, so that each side reads its own by primary key. Both come and go in one
-- statement.
CREATE TABLE friendship.friends (
    user_id   bigint      NOT NULL,
    friend_id bigint      NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, friend_id),
    CHECK (user_id <> friend_id)
);

-- Every change between two users holds their lock until its commit, from before it looks: what it has seen still holds
-- when it writes. The smaller id comes first, so both sides mean the same lock, and nobody waits for a second one.
-- Take it in a statement of its own, so that the next statement sees what the last holder committed. Two pairs may
-- share a number by chance; they only wait for each other.
CREATE FUNCTION friendship.lock_pair(one bigint, other bigint) RETURNS void LANGUAGE sql VOLATILE AS $$
    SELECT pg_advisory_xact_lock(hashint8extended(least(one, other), hashint8extended(greatest(one, other), 0)))
$$;
