-- What other services have to do after a change of Auth's: rows are written in the transaction that makes the change
-- and go in the one that has done it (docs/decisions/0011-outbox.md). A row is for one consumer; the rows of one key
-- are done in the order of their ids, whoever they are for.
CREATE TABLE auth.outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic      text        NOT NULL,
    consumer   text        NOT NULL,
    key        bigint      NOT NULL,
    payload    bytea       NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Tries that failed, and when the next one is due.
    attempts   integer     NOT NULL DEFAULT 0,
    next_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_of_key ON auth.outbox (key, id);
CREATE INDEX outbox_due ON auth.outbox (next_at, id);
