# Texts of the status page. The page's script fills them in and chooses the plural's form.
web-title = Dozor
web-states =
    .waiting = waiting
    .running = running
    .backoff = backoff
    .stopped = stopped
    .paused = paused
    .held = held
web-counted =
    .waiting = { $n ->
        [one] waiting
       *[other] waiting
    }
    .running = { $n ->
        [one] running
       *[other] running
    }
    .backoff = { $n ->
        [one] backoff
       *[other] backoff
    }
    .stopped = { $n ->
        [one] stopped
       *[other] stopped
    }
    .paused = { $n ->
        [one] paused
       *[other] paused
    }
    .held = { $n ->
        [one] held
       *[other] held
    }
web-ready = ready
web-not-ready = not ready
web-unknown = no connection
web-runner = Runner { $id }, { $host }, { $version }
web-up = up
web-zone = times in { $zone }
web-tasks = { $n ->
    [one] { $n } task
   *[other] { $n } tasks
}
web-all-tasks = all
web-filter = Find a task
web-more = { $shown } of { $total } shown: the search finds the others
web-no-tasks = No tasks
web-no-match = Nothing matches
web-broken = Broken
web-nothing-broken = No task is broken
web-paused = Paused
web-healthy = Healthy
web-other-group = others
web-overdue = overdue
web-behind = falls behind
web-last-success = success
web-next-run = next
web-running = running
web-never = never
web-now = now
web-ago = { $time } ago
web-ahead = in { $time }
web-in-a-row = { $n ->
    [one] { $n } failure in a row
   *[other] { $n } failures in a row
}
web-failing-since = failing since
web-by = by
web-backlog = backlog
web-where = where
web-incidents = Open incidents
web-task-incidents = Incidents
web-no-incidents = No open incidents
web-more-incidents = { $n ->
    [one] and { $n } more incident
   *[other] and { $n } more incidents
}
web-acknowledged = acknowledged by { $by }
web-not-acknowledged = not acknowledged
web-on-call = On call
web-on-call-until = { $name } until { $at }
web-nobody-on-call = no rotation is configured
web-silenced-until = silenced until { $at } by { $by }
web-silenced-open = silenced until it is over by { $by }
web-explained = caused by #{ $id }
web-of-runner = Dozor
web-queue = Messages waiting to be delivered
web-queue-empty = All delivered
web-attempts = { $n ->
    [one] { $n } attempt
   *[other] { $n } attempts
}
web-messages =
    .repeated_errors = repeated errors
    .critical_stop = critical stop
    .recovered = recovered
    .flapping = flapping
    .trouble = trouble
    .storm = storm
    .past = over already
    .reminder = reminder
    .escalation = escalation
    .silence_over = end of a silence
    .morning = report of the night
    .all_clear = all clear
    .summary = summary of the fallback channel
    .checker = alert of a task
    .runner_started = start of Dozor
    .reloaded = configuration reloaded
    .reload_refused = configuration refused
    .dropped = records dropped
    .other = other
    .test = test
web-uptime = uptime
web-uptime-about = share of periods without a failure, of those in which the task ran
web-bars = The last { $time } in periods of { $period }: { $failed }
web-bars-failed = { $n ->
    [one] failures in { $n } period
   *[other] failures in { $n } periods
}
web-bar-ok = no failure
web-bar-failed = { $n ->
    [one] { $failed } of { $n } run failed
   *[other] { $failed } of { $n } runs failed
}
web-bar-none = no run
web-bars-loading = The history is being loaded
web-live = live
web-polling = live (polling)
web-connecting = connecting…
web-stale = This page is out of date
web-stale-silent = The runner has been silent since { $at }: it hangs, or the connection to it is lost.
web-stale-refused = No answer from the runner since { $at }: it is not running, or the connection to it is lost.
web-stale-answer = Instead of the runner, error { $status } has answered since { $at }.
web-as-of = Everything below is as of that time. The page updates by itself as soon as the runner answers.
web-read-only = read only
web-sign-in = Sign in
web-sign-out = Sign out
web-sign-in-label = Token (web.token)
web-cancel = Cancel
web-restart = Restart
web-pause = Pause
web-resume = Resume
web-run-now = Run now
web-acknowledge = Acknowledge
web-give-back = Unacknowledge
web-silence = Silence
web-unsilence = Unsilence
web-silence-for = How long to silence
web-done = { $name }: done
web-already = { $name }: nothing to do
web-refused = { $name }: refused ({ $reason })
web-denied = Wrong token
web-failed = It did not work: the runner did not answer
web-became = { $name }: { $state }
web-other-language = Русский
web-back = All tasks
web-schedule = Schedule
web-runs = { $n ->
    [one] { $n } run
   *[other] { $n } runs
}
web-failures = { $n ->
    [one] { $n } failure
   *[other] { $n } failures
}
web-summary = Runs
web-in-all = In all: { $runs }, { $failures }
web-window =
    .d1 = 24 hours
    .d7 = 7 days
    .d30 = 30 days
web-succeeded-share = succeeded
web-p50 = p50
web-p95 = p95
web-no-runs = no runs
web-chart = Chart
web-chart-runs = Runs: successes upwards, failures downwards
web-chart-durations = Durations: p50 and p95
web-chart-about = { $window }: { $runs }, { $failures }; a shaded stretch is an incident
web-portion-runs = { $runs }, { $failures }
web-traceback = Traceback of the last failure
web-no-traceback = No failure with a traceback
web-errors = Errors
web-no-errors = No errors
web-times = { $n ->
    [one] { $n } time
   *[other] { $n } times
}
web-first-time = first
web-last-time = last
web-timeline = Timeline
web-no-timeline = Nothing has happened yet
web-outcomes =
    .succeeded = succeeded
    .failed = failed
    .timed_out = timed out
    .cancelled = cancelled
    .lost = lost
web-lasted = lasted { $time }
web-still-open = still open
web-resolved = resolved
web-no-past-incidents = No incidents
web-why = Why sent or not
web-removed = This task is no longer in the configuration.
web-unknown-task = There is no task { $name } in the configuration
web-unavailable = The database does not answer: no history for now.
web-needs-script = A script keeps this page up to date; without it only what is broken is shown.
web-every = every { $time }
web-continuous = continuous
web-milliseconds = ms
web-seconds = s
web-minutes = min
web-hours = h
web-days = d
