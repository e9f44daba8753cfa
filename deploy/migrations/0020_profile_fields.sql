-- More of a profile, avatars, last seen, and what search needs. Owned by the Profile module.

-- Each has a constant default or none, so that no row is rewritten.
ALTER TABLE profile.profiles
    ADD COLUMN region        text     NOT NULL DEFAULT '',
    ADD COLUMN birthday      date,
    ADD COLUMN custom_keys   text[]   NOT NULL DEFAULT '{}',
    ADD COLUMN custom_values text[]   NOT NULL DEFAULT '{}',
    -- The number of Profile.Status.
    ADD COLUMN status        smallint NOT NULL DEFAULT 1,
    -- SHA-256 of the picture in profile.avatars; null: none.
    ADD COLUMN avatar        bytea,
    -- Counts every change; version counts those that everyone may see.
    ADD COLUMN revision      bigint   NOT NULL DEFAULT 1;

-- The rules are checked for what is written from now on; the defaults keep them already.
ALTER TABLE profile.profiles
    ADD CONSTRAINT profiles_region_form CHECK (char_length(region) <= 64) NOT VALID,
    ADD CONSTRAINT profiles_custom_pairs CHECK (cardinality(custom_keys) = cardinality(custom_values)
                                                AND cardinality(custom_keys) <= 16) NOT VALID,
    ADD CONSTRAINT profiles_status_known CHECK (status BETWEEN 1 AND 4) NOT VALID,
    ADD CONSTRAINT profiles_avatar_form CHECK (octet_length(avatar) = 32) NOT VALID;

-- One picture a user, in both sizes (docs/decisions/0006): users with the same picture keep it twice, and nothing needs
-- to be counted when one of them changes it. Apart from the profile, so that reading a profile never reads a picture;
-- not compressed, because a picture is already.
CREATE TABLE profile.avatars (
    user_id bigint PRIMARY KEY,
    hash    bytea  NOT NULL CHECK (octet_length(hash) = 32),
    large   bytea  NOT NULL,
    small   bytea  NOT NULL
);
ALTER TABLE profile.avatars ALTER COLUMN large SET STORAGE EXTERNAL, ALTER COLUMN small SET STORAGE EXTERNAL;
CREATE INDEX avatars_of_hash ON profile.avatars (hash);

-- Written at the end of each user's last session; apart from the profile, whose version it does not change. Room on the
-- page keeps these updates out of the index.
CREATE TABLE profile.last_seen (
    user_id bigint      PRIMARY KEY,
    at      timestamptz NOT NULL
) WITH (fillfactor = 70);

-- Search: usernames by their beginning, in order; nicknames by any three letters of theirs. Without fastupdate a
-- change costs a little more, and no search has to read a list of changes that nobody has sorted in yet.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX profiles_username_prefix ON profile.profiles (username text_pattern_ops);
CREATE INDEX profiles_nickname_trigrams ON profile.profiles USING gin (lower(nickname) gin_trgm_ops)
    WITH (fastupdate = off);
