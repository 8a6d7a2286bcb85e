-- The trace of the change that a notice tells of, as its `traceparent`; empty where there is none.
ALTER TABLE outbox ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
