-- One log per user with one gap-free sequence. Owned by the Inbox module; other services append through
-- inbox.append and open logs through inbox.open, inside their own transactions.

CREATE SCHEMA inbox;

-- Identifiers everywhere: milliseconds since 2025-01-01 in the high bits, a sequence in the low 22, so they are
-- 64-bit, positive, ordered by time, and unique on every node without a node number.
CREATE SEQUENCE public.ringway_ids AS bigint CYCLE;
CREATE FUNCTION public.ringway_next_id() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT ((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1735689600000) << 22
         | (nextval('public.ringway_ids') & 4194303)
$$;

-- The newest seq of each log, and the lock that whoever appends must hold. Rows are locked in the order of
-- user_id by every writer, which is what keeps writers of several nodes from deadlocking. The fill factor
-- leaves room for updates that touch no index.
CREATE TABLE inbox.heads (
    user_id bigint PRIMARY KEY,
    seq     bigint NOT NULL CHECK (seq >= 0)
) PARTITION BY HASH (user_id);

-- payload is a serialized ringway.v1.Event without seq and at. device_id and client_id stand only in the
-- sender's own log, where they make a retried send find its first answer for ever.
CREATE TABLE inbox.events (
    user_id   bigint      NOT NULL,
    seq       bigint      NOT NULL CHECK (seq > 0),
    at        timestamptz NOT NULL,
    device_id bigint,
    client_id text,
    payload   bytea       NOT NULL,
    PRIMARY KEY (user_id, seq),
    CHECK ((device_id IS NULL) = (client_id IS NULL))
) PARTITION BY HASH (user_id);

CREATE UNIQUE INDEX events_sent_once ON inbox.events (user_id, device_id, client_id) WHERE client_id IS NOT NULL;

-- How far each device has acknowledged its user's log.
CREATE TABLE inbox.cursors (
    user_id   bigint NOT NULL,
    device_id bigint NOT NULL,
    acked_seq bigint NOT NULL CHECK (acked_seq >= 0),
    PRIMARY KEY (user_id, device_id)
) PARTITION BY HASH (user_id);

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format('CREATE TABLE inbox.heads_%s PARTITION OF inbox.heads
                        FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (fillfactor = 50)', part, part);
        EXECUTE format('CREATE TABLE inbox.events_%s PARTITION OF inbox.events
                        FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
        EXECUTE format('CREATE TABLE inbox.cursors_%s PARTITION OF inbox.cursors
                        FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
    END LOOP;
END
$$;

-- Starts a user's log. Called in the transaction that makes the account.
CREATE FUNCTION inbox.open(owner bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO inbox.heads (user_id, seq) VALUES (owner, 0)
$$;

-- Appends one event to each of several logs, in the caller's transaction, and tells every gateway at its
-- commit. owners must be distinct. Unknown owners are an error: a change must not lose its event.
CREATE FUNCTION inbox.append(owners bigint[], payloads bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    entry record;
    next_seq bigint;
BEGIN
    FOR entry IN SELECT * FROM unnest(owners, payloads) AS e (user_id, payload) ORDER BY user_id LOOP
        UPDATE inbox.heads SET seq = seq + 1 WHERE user_id = entry.user_id RETURNING seq INTO next_seq;
        IF NOT FOUND THEN
            RAISE foreign_key_violation USING MESSAGE = 'no inbox for the user', CONSTRAINT = 'inbox_owner_exists';
        END IF;
        INSERT INTO inbox.events (user_id, seq, at, payload)
        VALUES (entry.user_id, next_seq, clock_timestamp(), entry.payload);
        PERFORM pg_notify('ringway_inbox', entry.user_id || ':' || next_seq);
    END LOOP;
END
$$;
