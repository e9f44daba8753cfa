-- What users decide for themselves. Owned by the Profile module. A user without rows has the defaults, so that changing
-- a default changes it for all who never chose, and an account costs nothing here.

-- field and audience are the numbers of PrivacyField and Audience.Kind.
CREATE TABLE profile.privacy (
    user_id  bigint   NOT NULL,
    field    smallint NOT NULL CHECK (field BETWEEN 1 AND 6),
    audience smallint NOT NULL CHECK (audience BETWEEN 1 AND 4),
    group_id bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, field),
    CONSTRAINT privacy_group_where_meant CHECK ((audience = 3) = (group_id <> 0))
);

-- The version counts changes of both parts; each part keeps the version of its own last change, so that a device is
-- given only what is new to it.
CREATE TABLE profile.settings (
    user_id         bigint      PRIMARY KEY,
    version         bigint      NOT NULL CHECK (version > 0),
    privacy_version bigint      NOT NULL CHECK (privacy_version BETWEEN 1 AND version),
    push_version    bigint      NOT NULL CHECK (push_version BETWEEN 1 AND version),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    -- A serialized ringway.v1.Push: read and written whole, never searched.
    push            bytea       NOT NULL
);

-- Removes all that this module keeps of a user. Called in the transaction that removes the account.
CREATE FUNCTION profile.erase(owner bigint) RETURNS void LANGUAGE sql AS $$
    DELETE FROM profile.privacy WHERE user_id = owner;
    DELETE FROM profile.settings WHERE user_id = owner;
    DELETE FROM profile.avatars WHERE user_id = owner;
    DELETE FROM profile.last_seen WHERE user_id = owner;
    DELETE FROM profile.profiles WHERE user_id = owner;
$$;
