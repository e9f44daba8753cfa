-- Accounts, devices and tokens. Owned by the Auth module; nobody else reads or writes here. Registering also calls
-- profile.create and inbox.open in the same transaction, so an account never exists without its profile and its log.

CREATE SCHEMA auth;

CREATE TABLE auth.accounts (
    id            bigint      PRIMARY KEY DEFAULT public.ringway_next_id(),
    username      text        NOT NULL,
    -- argon2id's encoded form: it carries its own salt and cost.
    password_hash text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- The index decides who gets a name; a look before the insert could not.
    CONSTRAINT accounts_username_taken UNIQUE (username),
    CONSTRAINT accounts_username_form CHECK (username ~ '^[a-z][a-z0-9_.-]{2,31}$')
);

-- A device is a log-in: what its tokens belong to, and what ends when it is revoked. A revoked device keeps its row,
-- so its id never comes back to life. The key leads with the user, who is in every token beside the device.
CREATE TABLE auth.devices (
    user_id    bigint      NOT NULL REFERENCES auth.accounts (id),
    id         bigint      NOT NULL DEFAULT public.ringway_next_id(),
    name       text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    platform   text        NOT NULL CHECK (char_length(platform) BETWEEN 1 AND 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (user_id, id)
);

-- The family of a device's refresh tokens. Only digests are kept: who reads this table can't log in with it. A rotated
-- token stays until it would have expired anyway, because a second use of it must be recognized.
CREATE TABLE auth.refresh_tokens (
    digest     bytea       PRIMARY KEY CHECK (octet_length(digest) = 32),
    user_id    bigint      NOT NULL,
    device_id  bigint      NOT NULL,
    expires_at timestamptz NOT NULL,
    rotated_at timestamptz,
    FOREIGN KEY (user_id, device_id) REFERENCES auth.devices (user_id, id)
);
-- One token of a family is good at a time, whatever the statements do.
CREATE UNIQUE INDEX refresh_tokens_one_current ON auth.refresh_tokens (user_id, device_id) WHERE rotated_at IS NULL;
CREATE INDEX refresh_tokens_of_device ON auth.refresh_tokens (user_id, device_id);

-- The keys that access tokens are signed with (P-256, PKCS#8 PEM). The newest signs, all of them verify. Whoever can
-- read this table can be anyone: keep it from roles that only report.
CREATE TABLE auth.signing_keys (
    kid         text        PRIMARY KEY,
    private_key text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
