CREATE VIEW IF NOT EXISTS shares {{ON_CLUSTER}} AS
SELECT * FROM submits WHERE verdict = 'accepted'
