-- Accounts get an e-mail address and an end, devices what their owner recognizes them by, refresh tokens the one retry
-- of a lost answer, and signing keys a time from which they sign.

ALTER TABLE auth.accounts
    -- Lower case, told to nobody but the owner.
    ADD COLUMN email text,
    -- Set while the account waits for its end; a log-in takes it back.
    ADD COLUMN delete_after timestamptz;
CREATE UNIQUE INDEX accounts_email_taken ON auth.accounts (email) WHERE email IS NOT NULL;
CREATE INDEX accounts_to_delete ON auth.accounts (delete_after) WHERE delete_after IS NOT NULL;
-- Of ASCII's letters and digits these look alike (Unicode TS 39): 0 and o, 1 and l, rn and m. Names that differ by
-- nothing else are one name.
CREATE UNIQUE INDEX accounts_username_confusable
    ON auth.accounts (replace(translate(username, '01', 'ol'), 'rn', 'm'));

ALTER TABLE auth.devices
    ADD COLUMN last_seen_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN address text NOT NULL DEFAULT '';

-- The successor of a rotated token is HMAC(successor_salt, the token's text): who brings the token again is given the
-- same successor again, and neither this table nor the token alone says what it is.
ALTER TABLE auth.refresh_tokens ADD COLUMN successor_salt bytea;

-- The newest key whose time has come signs; all of them verify.
ALTER TABLE auth.signing_keys ADD COLUMN signs_from timestamptz NOT NULL DEFAULT now();
