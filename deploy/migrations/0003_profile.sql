-- What users show of themselves. Owned by the Profile module; others go through profile.create and
-- profile.user_exists, in their own transactions.

CREATE SCHEMA profile;

-- The username is a copy to show and never changes here; that names are unique is auth's to keep.
CREATE TABLE profile.profiles (
    user_id    bigint      PRIMARY KEY,
    username   text        NOT NULL,
    nickname   text        NOT NULL CHECK (char_length(nickname) BETWEEN 1 AND 64),
    signature  text        NOT NULL DEFAULT '' CHECK (char_length(signature) <= 256),
    version    bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Called in the transaction that makes the account.
CREATE FUNCTION profile.create(owner bigint, username text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO profile.profiles (user_id, username, nickname) VALUES (owner, username, username)
$$;

-- A profile exists exactly as long as its account does.
CREATE FUNCTION profile.user_exists(candidate bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM profile.profiles WHERE user_id = candidate)
$$;
