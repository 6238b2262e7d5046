CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL);
CREATE TABLE resource (
    key {key} PRIMARY KEY, id TEXT NOT NULL, type_key {key} NOT NULL, type_name TEXT NOT NULL,
    location TEXT, tags TEXT, etag TEXT NOT NULL, sequence BIGINT NOT NULL,
    created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, body TEXT NOT NULL);
CREATE INDEX resource_by_type ON resource (type_key, key);
CREATE TABLE document (
    kind {key} NOT NULL, key {key} NOT NULL, body TEXT NOT NULL, changed_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, key));
CREATE TABLE change (
    sequence BIGINT PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, verb TEXT NOT NULL,
    etag TEXT NOT NULL, at_ms BIGINT NOT NULL);
CREATE TABLE audit (sequence BIGINT PRIMARY KEY, hash TEXT NOT NULL, leaf TEXT NOT NULL);
INSERT INTO schema_version (version) VALUES (1);
INSERT INTO document (kind, key, body, changed_ms) VALUES ('old', 'one', '{"kept":true}', 7);
INSERT INTO change (sequence, kind, key, verb, etag, at_ms) VALUES (41, 'old', 'one', 'put', '', 7);
