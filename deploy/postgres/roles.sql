-- Roles with least privileges for a server of your own. Run it once, as a superuser, in the database of Dozor:
--
--   psql -d dozor -v ON_ERROR_STOP=1 -f deploy/postgres/roles.sql
--
-- and set passwords (\password dozor_owner, …). It may be run again.
--
--   dozor_owner     `dozor migrate`: owns the schemas and their tables
--   dozor_runner    `dozor run` and the other commands: reads and writes rows, changes no table
--   dozor_readonly  people and dashboards: reads
--
-- database.url of `dozor migrate` names dozor_owner, that of `dozor run` dozor_runner.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['dozor_owner', 'dozor_runner', 'dozor_readonly'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', name);
        END IF;
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO dozor_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO dozor_runner, dozor_readonly', current_database());
END
$$;

-- The runner ends the sessions of a predecessor that holds its lock (pg_terminate_backend): of its own role only.
ALTER ROLE dozor_runner SET lock_timeout = '30s';
ALTER ROLE dozor_readonly SET default_transaction_read_only = on;

-- The schemas: `dozor` always, `market` for the marketplace's checkers. Made here, so that rights are in place
-- before the first table is.
CREATE SCHEMA IF NOT EXISTS dozor AUTHORIZATION dozor_owner;
CREATE SCHEMA IF NOT EXISTS market AUTHORIZATION dozor_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA dozor, market TO dozor_runner, dozor_readonly;

-- For what is there already, if `dozor migrate` has run before,
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dozor, market TO dozor_runner;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA dozor, market TO dozor_runner;
GRANT SELECT ON ALL TABLES IN SCHEMA dozor, market TO dozor_readonly;

-- and for what later migrations make.
ALTER DEFAULT PRIVILEGES FOR ROLE dozor_owner IN SCHEMA dozor, market
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dozor_runner;
ALTER DEFAULT PRIVILEGES FOR ROLE dozor_owner IN SCHEMA dozor, market
    GRANT USAGE, SELECT ON SEQUENCES TO dozor_runner;
ALTER DEFAULT PRIVILEGES FOR ROLE dozor_owner IN SCHEMA dozor, market
    GRANT SELECT ON TABLES TO dozor_readonly;
