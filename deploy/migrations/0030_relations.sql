-- Friend groups, remarks, blocks, requests that end by themselves, and lists that a client follows by what changed.
-- Owned by the Friendship module.

-- The owner's own ordering of their friends. group_id 0: in no group.
ALTER TABLE friendship.friends
    ADD COLUMN group_id bigint NOT NULL DEFAULT 0,
    ADD COLUMN remark text NOT NULL DEFAULT '';
ALTER TABLE friendship.friends
    ADD CONSTRAINT friends_remark_length CHECK (char_length(remark) <= 64) NOT VALID;
ALTER TABLE friendship.friends VALIDATE CONSTRAINT friends_remark_length;

-- Also 4 withdrawn and 5 expired. What is pending when this file is applied gets its time from now on.
ALTER TABLE friendship.requests DROP CONSTRAINT requests_state_check;
ALTER TABLE friendship.requests
    ADD CONSTRAINT requests_state_known CHECK (state BETWEEN 1 AND 5) NOT VALID;
ALTER TABLE friendship.requests VALIDATE CONSTRAINT requests_state_known;
ALTER TABLE friendship.requests
    ADD COLUMN expires_at timestamptz NOT NULL DEFAULT now() + interval '30 days';
-- For the sweep. Pending requests are few beside the history, and the migrator works in transactions.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX requests_due ON friendship.requests (expires_at) WHERE state = 1;

-- One row a user: the lock that every change of theirs holds, the version of what they see, and how much of everything
-- they have, so that a limit costs no counting. A row appears with the user's first change. The fill factor leaves
-- room for updates that touch no index.
CREATE TABLE friendship.owners (
    user_id        bigint PRIMARY KEY,
    version        bigint NOT NULL DEFAULT 0,
    groups_version bigint NOT NULL DEFAULT 0,
    friends        bigint NOT NULL DEFAULT 0 CHECK (friends >= 0),
    sent           bigint NOT NULL DEFAULT 0 CHECK (sent >= 0),
    received       bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    groups         bigint NOT NULL DEFAULT 0 CHECK (groups >= 0),
    blocks         bigint NOT NULL DEFAULT 0 CHECK (blocks >= 0)
) WITH (fillfactor = 50);

-- Of whom a user wants to know nothing, and who shall learn nothing of that.
CREATE TABLE friendship.blocks (
    user_id bigint      NOT NULL,
    peer_id bigint      NOT NULL,
    since   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, peer_id),
    CHECK (user_id <> peer_id)
);

-- position is the place in the user's own order, from 0.
CREATE TABLE friendship.groups (
    user_id  bigint NOT NULL,
    id       bigint NOT NULL DEFAULT public.ringway_next_id(),
    name     text   NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    position bigint NOT NULL CHECK (position >= 0),
    PRIMARY KEY (user_id, id),
    CONSTRAINT groups_name_taken UNIQUE (user_id, name)
);

-- The newest version at which something of a user's lists changed: kind 1 the friend, 2 the block, 3 the pending
-- request that peer_id is the other side of. What is no longer there is a removal, so nothing else marks one, and a
-- peer takes one row however often it comes and goes. Every row of a user has a version of its own, so that a page may
-- end at any of them.
CREATE TABLE friendship.changes (
    user_id bigint   NOT NULL,
    kind    smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),
    peer_id bigint   NOT NULL,
    version bigint   NOT NULL,
    PRIMARY KEY (user_id, kind, peer_id)
);
CREATE UNIQUE INDEX changes_in_order ON friendship.changes (user_id, version);

INSERT INTO friendship.changes (user_id, kind, peer_id, version)
SELECT user_id, kind, peer_id, row_number() OVER (PARTITION BY user_id ORDER BY kind, peer_id)
FROM (
    SELECT user_id, 1 AS kind, friend_id AS peer_id FROM friendship.friends
    UNION ALL SELECT sender, 3, recipient FROM friendship.requests WHERE state = 1
    UNION ALL SELECT recipient, 3, sender FROM friendship.requests WHERE state = 1
) AS present;

INSERT INTO friendship.owners (user_id, version, friends, sent, received)
SELECT user_id, sum(friends + sent + received), sum(friends), sum(sent), sum(received)
FROM (
    SELECT user_id, 1 AS friends, 0 AS sent, 0 AS received FROM friendship.friends
    UNION ALL SELECT sender, 0, 1, 0 FROM friendship.requests WHERE state = 1
    UNION ALL SELECT recipient, 0, 0, 1 FROM friendship.requests WHERE state = 1
) AS present
GROUP BY user_id;

-- Every change holds the rows of all users whose lists it touches, from before it looks until its commit: what it has
-- seen still holds when it writes. Rows are locked in the order of user_id, and before any log's head, so nobody waits
-- in a circle. Call it in a statement of its own, so that the next one sees what the last holder committed.
CREATE FUNCTION friendship.lock_users(users bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    owner bigint;
BEGIN
    FOR owner IN SELECT DISTINCT u FROM unnest(users) AS t (u) ORDER BY u LOOP
        PERFORM FROM friendship.owners WHERE user_id = owner FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            INSERT INTO friendship.owners (user_id) VALUES (owner) ON CONFLICT DO NOTHING;
            PERFORM FROM friendship.owners WHERE user_id = owner FOR NO KEY UPDATE;
        END IF;
    END LOOP;
END
$$;
DROP FUNCTION friendship.lock_pair(bigint, bigint);

-- Writes down that a user's friends, blocks or requests with these (distinct) peers changed; the new version.
CREATE FUNCTION friendship.note(owner bigint, what smallint, whom bigint[]) RETURNS bigint LANGUAGE sql AS $$
    WITH head AS (
        UPDATE friendship.owners SET version = version + cardinality(whom) WHERE user_id = owner
        RETURNING version
    ), noted AS (
        INSERT INTO friendship.changes (user_id, kind, peer_id, version)
        SELECT owner, what, peer, head.version - cardinality(whom) + place
        FROM head, unnest(whom) WITH ORDINALITY AS w (peer, place)
        ON CONFLICT (user_id, kind, peer_id) DO UPDATE SET version = excluded.version
    )
    SELECT version FROM head
$$;
