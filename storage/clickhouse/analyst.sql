-- A user who may read the shares and nothing else, for a ClickHouse of your own: fill {{DATABASE}}, {{PASSWORD}} and
-- {{ON_CLUSTER}} (empty, or ON CLUSTER name) and run it as a user who may create users.
CREATE SETTINGS PROFILE IF NOT EXISTS millrace_analyst {{ON_CLUSTER}} SETTINGS
    readonly = 1,
    max_execution_time = 60,
    max_memory_usage = 2147483648,
    max_rows_to_read = 2000000000,
    max_result_rows = 5000000,
    max_result_bytes = 268435456,
    max_concurrent_queries_for_user = 4;

CREATE ROLE IF NOT EXISTS millrace_reader {{ON_CLUSTER}};

GRANT {{ON_CLUSTER}} SELECT ON {{DATABASE}}.* TO millrace_reader;

CREATE USER IF NOT EXISTS millrace_analyst {{ON_CLUSTER}} IDENTIFIED WITH sha256_password BY '{{PASSWORD}}'
    DEFAULT ROLE millrace_reader SETTINGS PROFILE 'millrace_analyst';

GRANT {{ON_CLUSTER}} millrace_reader TO millrace_analyst;

CREATE QUOTA IF NOT EXISTS millrace_analyst {{ON_CLUSTER}} KEYED BY user_name
    FOR INTERVAL 1 hour MAX queries = 2000, errors = 500, result_rows = 50000000, read_rows = 20000000000, execution_time = 1800
    TO millrace_analyst;
