-- Statements that SQLite and PostgreSQL read alike. Times are milliseconds of Unix time.
CREATE TABLE users (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    modified_ms BIGINT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL
);

CREATE TABLE products (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    modified_ms BIGINT NOT NULL,
    name TEXT NOT NULL,
    price_cents BIGINT NOT NULL
);

CREATE INDEX products_by_name ON products (name);

-- The last id that was given out; an id is never given twice, so a tag of a deleted row never names another.
CREATE TABLE sequences (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO users (id, version, modified_ms, name, email) VALUES
    (1, 1, 1793491200000, 'Ada Weaver', 'ada@example.com'),
    (2, 1, 1793491200000, 'Bela Spinner', 'bela@example.com'),
    (3, 1, 1793491200000, 'Chidi Dyer', 'chidi@example.com'),
    (4, 1, 1793491200000, 'Dana Tailor', 'dana@example.com');

INSERT INTO products (id, version, modified_ms, name, price_cents) VALUES
    (1, 1, 1793491200000, 'Raw denim, selvedge', 4900),
    (2, 1, 1793491200000, 'Linen, twill', 3200),
    (3, 1, 1793491200000, 'Wool, herringbone', 6750);

INSERT INTO sequences (name, value) VALUES ('users', 4), ('products', 3);
