-- Signing keys that are taken back before their time. Owned by the Auth module.

-- A row outlives its key by 30 days, so that a gateway that missed the word finds out whose sockets to close. Ids are
-- thumbprints of keys and never come again.
CREATE TABLE auth.revoked_keys (
    kid        text        PRIMARY KEY,
    revoked_at timestamptz NOT NULL DEFAULT now()
);

-- Every commit that changes the keys tells all nodes. A trigger, so that no way of changing them can forget it.
CREATE FUNCTION auth.tell_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ringway_keys', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER signing_keys_tell AFTER INSERT OR UPDATE OR DELETE ON auth.signing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION auth.tell_keys();
