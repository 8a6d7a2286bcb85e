-- What was answered to a request with an Idempotency-Key.
CREATE TABLE answers (
    idempotency_key TEXT NOT NULL PRIMARY KEY,
    request TEXT NOT NULL,
    kept_id BIGINT NOT NULL,
    kept_version BIGINT NOT NULL,
    kept_modified_ms BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE INDEX answers_by_age ON answers (created_ms);

-- Notices that an edge has not taken yet. Tags are a JSON list; an empty list stands for everything.
CREATE TABLE outbox (
    id BIGINT NOT NULL PRIMARY KEY,
    edge TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE INDEX outbox_by_edge ON outbox (edge, created_ms);

-- What the shared cache has not been told of yet: it must keep no version before this one.
CREATE TABLE outdated (
    cache_key TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);
