-- Leadership of a cluster (`cluster.enabled`): the lease, the fence that a leader's transactions pass, the presence
-- of replicas, and the runs that a leader which resigned lets end. Only additions: the version before does not
-- touch these tables.

-- One row. `epoch` is the id in dozor.runners of the one who leads, or led last; a take-over changes the key, so it
-- waits for transactions that hold the row FOR KEY SHARE (dozor.fence), while a renewal does not.
CREATE TABLE dozor.lease (
    epoch          bigint PRIMARY KEY,
    holder         uuid NOT NULL,                            -- random, of one process
    renewals       bigint NOT NULL DEFAULT 0,
    ttl            double precision NOT NULL,                -- seconds
    taken_at       timestamptz NOT NULL,
    renewed_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,                     -- -infinity: resigned
    name           text NOT NULL,                            -- of the replica, for people
    host           text NOT NULL,
    boot_id        text NOT NULL,                            -- of the holder's machine; '' if not known
    pid_namespace  text NOT NULL,                            -- in which `pid` counts; '' if not known
    pid            integer NOT NULL,
    process_start  bigint NOT NULL,                          -- clock ticks after boot; tells two uses of a pid apart
    only_row       boolean NOT NULL DEFAULT true UNIQUE CHECK (only_row)
);

INSERT INTO dozor.lease (epoch, holder, ttl, taken_at, renewed_at, expires_at, name, host, boot_id, pid_namespace,
                         pid, process_start)
VALUES (0, '00000000-0000-0000-0000-000000000000', 0, now(), now(), '-infinity', '', '', '', '', 0, 0);

-- Locks the lease for the rest of the transaction if (epoch, holder) leads, else raises SQLSTATE DZ001.
-- The setting dozor.epoch lasts as long as the transaction and says that it is fenced.
CREATE FUNCTION dozor.fence(of_epoch bigint, of_holder uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM dozor.lease WHERE epoch = of_epoch AND holder = of_holder FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % is over: another replica leads', of_epoch USING ERRCODE = 'DZ001';
    END IF;
    PERFORM set_config('dozor.epoch', of_epoch::text, true);
END
$$;

-- Every process of a cluster, written by itself a few times a lease. A row whose seen_at is older than three times
-- `beats_every` belongs to a lost replica.
CREATE TABLE dozor.replicas (
    id             uuid PRIMARY KEY,                         -- the holder of dozor.lease, for one that leads
    name           text NOT NULL,
    role           text NOT NULL CHECK (role IN ('leader', 'standby', 'worker')),
    epoch          bigint,                                   -- of a leader
    host           text NOT NULL,
    pid            integer NOT NULL,
    version        text NOT NULL,
    started_at     timestamptz NOT NULL,
    role_since     timestamptz NOT NULL,
    seen_at        timestamptz NOT NULL,
    beats_every    double precision NOT NULL,                -- seconds
    config_digest  text NOT NULL,                            -- equal for equal configurations
    clock_offset   double precision NOT NULL DEFAULT 0,      -- seconds: its wall clock minus the database's
    pools          text[] NOT NULL DEFAULT '{}',             -- whose runs it takes
    slots          integer NOT NULL DEFAULT 0,
    running        integer NOT NULL DEFAULT 0                -- slots in use
);

-- Runs in progress in a process that resigned. The next leader does not start the task before the row is gone or
-- `until` has passed; the process that has the run is ended by its kernel timer before that.
CREATE TABLE dozor.handover (
    task   text PRIMARY KEY,
    epoch  bigint NOT NULL,                                  -- in which the run began
    until  timestamptz NOT NULL
);
