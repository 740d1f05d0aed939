ALTER TABLE submits {{ON_CLUSTER}} COMMENT COLUMN round 'Block candidates the whole pool had found before it'
