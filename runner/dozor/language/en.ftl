# Dozor's texts.

### Times

milliseconds = { $count } ms
seconds = { $count } s
minutes = { $count } min
hours = { $count } h
days = { $count ->
    [one] { $count } day
   *[other] { $count } days
}
ago = { $duration } ago
ahead = in { $duration }
just-now = just now
right-now = now

### Alerts: the header is read from a lock screen

alert-repeated = { $sign } { $task }: { $failures ->
    [1] an error at { $since }
   *[other] { $failures } errors in a row since { $since }
}
alert-stopped = 🛑 { $task } stopped: { $failures ->
    [1] an error at { $since }
   *[other] { $failures } errors in a row since { $since }
}
alert-recovered = ✅ { $task } works again
alert-checker-info = ℹ️ { $task }: { $text }
alert-checker-warning = ⚠️ { $task }: { $text }
alert-checker-critical = 🔴 { $task }: { $text }
alert-reloaded = 🔧 The new configuration is applied
alert-reload-refused = ⚠️ The new configuration is refused
alert-reload-old = The previous one stays in effect.
alert-reload-kept-back = Takes effect only after a restart of Dozor: { $sections }
alert-other = { $task }: an alert that this version of Dozor cannot show
alert-dropped = ⚠️ Dozor lost some of its records
alert-test = ✅ Test: Dozor's alerts arrive here

### Alerts: details

alert-window = Too many errors within a time: { $window }
alert-attempt = Attempt { $failures }/{ $max }
alert-where = Where: { $where }
alert-next-restart = Restart at { $at } ({ $distance })
alert-next-retry = Next attempt at { $at } ({ $distance })
alert-next-person = It will not start by itself: a person is needed.
alert-next-person-fatal = Trying again cannot help, it will not start by itself: a person is needed.
alert-lasted = Was down for { $duration }, since { $since }.
alert-lasted-errors = Errors in a row: { $failures }.
alert-by-person = Restarted by: { $by }
alert-by-itself = Recovered by itself.
alert-last-error = Last error:
alert-stopped-tasks = { $count ->
    [one] { $count } task is stopped and waits for a person:
   *[other] { $count } tasks are stopped and wait for a person:
}
alert-dropped-why = The database was away longer than the queue in memory could hold.
alert-duplicate = Possibly a duplicate: it is not known whether this message arrived before.
alert-and-more = … and { $count } more
button-restart = 🔄 Restart
button-pause = ⏸ Pause
button-resume = ▶️ Resume
button-run = ▶️ Run now
button-refresh = 🔄 Refresh
button-failing = ⚠️ Failing only
button-all = 📋 All
button-all-tasks = ◀️ All tasks
button-card = 📋 Details
button-undo = ↩️ Undo
button-errors = ❌ Errors
button-history = 🕓 History
button-chart = 📈 Chart
button-traceback-of = 📄 Traceback { $number }
button-silence-all = 🔕 All tasks
button-why = ❓ Why sent or not
button-oncall = 📟 I am on call
button-cancel = Cancel
button-all-stopped = 🛑 All stopped ({ $count })
button-all-at-work = ⏸ All ({ $count })
button-all-paused = ▶️ All paused ({ $count })
button-restart-task = 🔄 { $task }
by-telegram = Telegram, id { $ident }
by-cli = command line, { $ident }
by-web = web page, { $ident }

### Alerts: Dozor starts

start-first = 🟢 Dozor is running: { $count ->
    [one] { $count } task
   *[other] { $count } tasks
}
start-back = { $mark } Dozor is running again: was down for { $duration }
start-unclean = ⚠️ Dozor started after an unclean end: was down for { $duration }
start-unclean-plain = ⚠️ Dozor started after an unclean end
start-plain = ⚠️ Dozor started
start-again = ⚠️ Dozor keeps ending uncleanly: { $count ->
    [one] { $count } time
   *[other] { $count } times
} since { $since }
start-flapping = ⚠️ Dozor keeps ending uncleanly, { $count } times by now
start-crowd = ⚠️ Dozor is restarted too often: { $count ->
    [one] { $count } time
   *[other] { $count } times
} in 10 minutes
start-crowd-why = Further starts are not reported until restarts are rare again.
start-steady = ✅ Dozor has been stable since its unclean end
start-stopped-at = It was stopped by a command or signal at { $at }.
start-cut-off = The last run was cut off: a crash, kill -9 or power.
start-cut-off-at = Last sign of life at { $at }, then a crash, kill -9 or power.
start-kept = States of tasks and error counts are kept.
start-last-gap = The last time it was down for { $duration }.
start-suspects = Possible causes of Dozor's crash: { $tasks }. They start one at a time, the first in { $duration }; a task that crashes it again is stopped.
start-lost = Runs that were cut off: { $tasks }
start-missed = Scheduled runs missed: { $runs } (tasks: { $tasks })
start-missed-more = Scheduled runs missed: at least { $runs } (tasks: { $tasks })
start-paused = Paused: { $tasks }
start-open = Incidents open since before this start: { $count }
start-owed = Messages not delivered before this start: { $count }, being sent now

### Alerts: not only errors in a row

alert-flapping = { $sign } { $task }: the errors keep coming back, { $count } times by now
alert-flapping-why = Until no failure comes for a while, only this message is updated.
alert-hung = { $task }: a run hangs and cannot be cancelled
alert-overdue = { $task }: no success for { $duration }
alert-overdue-plain = { $task }: no success for longer than allowed
alarm-blocked-loop = 🔴 The event loop has been blocked for { $duration } by { $subject }
alarm-blocked-loop-unknown = 🔴 The event loop has been blocked for { $duration }
alert-blocked-loop-unknown = The event loop was blocked for { $duration }
alert-blocked-loop-unknown-plain = The event loop gets blocked
alert-blocked-loop = The event loop was blocked for { $duration } by { $subject }
alert-blocked-loop-plain = The event loop gets blocked by { $subject }
alert-dependency = { $subject }: down
alert-limit = Dozor exceeds a limit: { $subject }
limit-memory = memory
limit-asyncio-tasks = asyncio tasks
limit-open-files = open files
limit-descriptors = file descriptors
limit-loop-lag = delay of the event loop
limit-database-connections = connections of the database server
alert-pool-exhausted = { $subject }: no connection has been free for { $duration }, all { $size } are held
alert-pool-exhausted-plain = { $subject }: no connection is free
alert-no-worker = Pool { $subject }: no worker has taken a run for { $duration }, { $count } wait
alert-no-worker-task = { $task }: no worker takes its runs, although the pool carries out those of other tasks: the workers lack this task or have another version of it
alert-no-worker-plain = Pool { $subject }: no worker takes its runs
alert-holder = Held by { $task }, run { $run }, since { $since }
alert-holder-over = Held by { $task }, run { $run }, since { $since }: the run is over and did not release it
alert-over-pool = ✅ { $subject }: connections are free again
alert-backlog = { $task } falls behind: { $size } wait, the oldest for { $duration }
alert-backlog-plain = { $task } falls behind: its backlog grows
alert-unclean-incident = Dozor keeps ending uncleanly
alert-bot-deaf = The bot receives no commands: Telegram delivers no messages
alert-bot-defect = The bot failed at a command: an internal error
alert-replica = Replica { $subject } of the cluster is lost
alert-replica-config = Replica { $subject } of the cluster has another configuration than the leader
alert-replica-clock = The clock of replica { $subject } differs from that of the database
alert-late-renewal = The leader of the cluster renews its lease late
alert-over-bot = ✅ The bot answers again
alert-telegram = Telegram does not accept messages: { $subject }
alert-over-blocked = ✅ The event loop is no longer blocked
alert-over-storm = ✅ The storm is over: none of its incidents is open any more
alert-waiting = Waiting: { $tasks }
alert-storm = { $sign } Failures in many tasks at once: { $count }
alert-past = ✅ { $task }: was broken, works again
alert-past-why = It could not be reported in time.
alert-escalation = { $sign } { $mention }: please react. { $what }
alert-ack-expired = The acknowledgement by { $by } has expired: it waits for a person again.
alert-silence-over = 🔔 A silence is over, still broken: { $count }
alert-silence-reason = Reason of the silence: { $text }
alert-silence-lifted = The silence was ended by { $by }
alert-morning = 🌅 Incidents of the night: { $count }
alert-all-clear = ✅ All is well: { $tasks ->
    [one] { $tasks } task
   *[other] { $tasks } tasks
}
alert-not-clear = ⚠️ Daily report: open incidents { $count }
alert-summary = ✉️ Telegram is available again. Sent through the fallback channel meanwhile: { $count }
alert-second-channel = [Dozor, fallback channel: not delivered in Telegram for { $duration }]
file-note = 📎 The whole text: in the file under this message
file-cut = [Cut here: Dozor keeps the first { $count } characters.]
number = #{ $id }
alert-own = { $task }: { $text }
alert-restarted-waiting = Restarted by { $by }: no run has succeeded since.
alert-flapping-other = { $sign } { $what }: comes back again and again, { $count } times by now
alert-escalation-next = Level { $level }. If nobody acknowledges, { $who } will be called at { $at }.
alert-escalation-next-plain = Level { $level }. If nobody acknowledges, the next call follows at { $at }.
still-stopped = { $task } is still stopped: not working for { $duration } now, since { $since }
still-restarted = { $task } was restarted and has not succeeded yet: not working for { $duration } now, since { $since }
still-failing = { $task }: errors go on for { $duration } now, since { $since }
still-held = { $task } waits for what it requires: not working for { $duration } now, since { $since }
still-hung = { $task }: the run still hangs, for { $duration } now, since { $since }
still-overdue = { $task }: still no success, for { $duration } now, since { $since }
still-blocked-loop = The event loop still gets blocked by { $subject }, for { $duration } now, since { $since }
still-blocked-loop-unknown = The event loop still gets blocked, for { $duration } now, since { $since }
still-dependency = { $subject } is still down: for { $duration } now, since { $since }
still-limit = Dozor still exceeds a limit: { $subject }, for { $duration } now, since { $since }
still-pool-exhausted = { $subject }: still no connection is free, for { $duration } now, since { $since }
still-no-worker-task = { $task }: still no worker takes its runs, for { $duration } now, since { $since }
still-no-worker = Pool { $subject }: still no worker takes its runs, for { $duration } now, since { $since }
still-backlog = { $task } still falls behind: { $count } wait, the oldest for { $oldest }; open for { $duration }
still-backlog-plain = { $task } still falls behind, for { $duration } now, since { $since }
still-unclean-end = Dozor keeps ending uncleanly, for { $duration } now, since { $since }
still-bot-deaf = The bot still receives no commands, for { $duration } now, since { $since }
still-bot-defect = The bot fails at commands, for { $duration } now, since { $since }
still-replica = Replica { $subject } of the cluster is still lost, for { $duration } now, since { $since }
still-replica-config = Replica { $subject } of the cluster still has another configuration than the leader, for { $duration } now, since { $since }
still-replica-clock = The clock of replica { $subject } still differs from that of the database, for { $duration } now, since { $since }
still-late-renewal = The leader of the cluster still renews its lease late, for { $duration } now, since { $since }
still-telegram = Telegram still does not accept messages: { $subject }, for { $duration } now, since { $since }
still-checker = { $task }: { $text } (open for { $duration }, since { $since })
still-storm = Failures in many tasks for { $duration }: { $open } of { $count } not working
still-storm-plain = Failures in many tasks for { $duration }, since { $since }
still-other = { $task }: still open, for { $duration } now, since { $since }
over-lasted = Lasted { $duration }, since { $since }.
over-unconfigured = ℹ️ { $task }: removed from the configuration or disabled; incident closed
over-lapsed = ℹ️ { $task }: the alert was not repeated for an hour; incident closed
over-closed = ℹ️ { $task }: incident closed
over-hung-stopped = 🛑 { $task }: the run that hung has ended, the task is stopped
over-hung = ✅ { $task }: the run that hung has ended
over-overdue = ✅ { $task } has succeeded again
over-backlog = ✅ { $task } has caught up
over-no-worker-task = ✅ { $task }: a worker takes its runs again
over-no-worker = ✅ Pool { $subject }: workers take its runs again
over-dependency = ✅ { $subject } is available again
over-limit = ✅ Dozor is within its limit again: { $subject }
over-replica = ✅ Replica { $subject } of the cluster is back, or is no longer listed
over-replica-config = ✅ Replica { $subject } of the cluster has the configuration of the leader, or has ended
over-replica-clock = ✅ The clock of replica { $subject } agrees with that of the database, or the replica has ended
over-late-renewal = ✅ The lease of the cluster is renewed in time again
over-telegram = ✅ Telegram accepts messages again: { $subject }
alert-retold = Sent here again: this chat, topic or bot is new, earlier messages are elsewhere.
living-taken = 👤 Acknowledged by { $by } until { $until }
living-silenced = 🔕 Silenced until { $until }
living-silenced-open = 🔕 Silenced until it is over
living-occurrences = Times it has happened: { $count }
living-calm = No failure since { $since }; closed if it stays so.
button-ack = ✋ Acknowledge
button-unack = ↩️ Unacknowledge
button-silence-hour = 🔕 1 h
button-silence-hours = 🔕 4 h
button-silence-until = 🔕 until over
button-unsilence = 🔔 End the silence
button-traceback = 📄 Traceback
button-storm = 📋 All incidents

### States

state-waiting = waiting for its next run
state-running = running
state-backoff = waiting to restart
state-stopped = stopped
state-paused = paused
state-held = held (something it requires is down)

### /status

status-no-tasks = No tasks: the tasks section of config.yaml is empty.
status-all-well = ✅ { $count ->
    [one] { $count } task, all well
   *[other] { $count } tasks, all well
}
status-count-stopped = 🛑 { $count } stopped
status-count-failing = ⚠️ { $count } failing
status-count-held = ⏳ { $count } held
status-count-paused = ⏸ { $count } paused
status-count-well = ✅ { $count } well
status-no-runner = ❗ No runner has worked on this database yet.
status-runner-gone = ❗ The runner is not working: last seen { $ago }. What follows is from then.
status-chat-waits = ⏳ Telegram makes { $chat } wait until { $until }
status-chat-unreached = ⏳ No message has reached { $chat } since { $since }: { $error }
status-alerts-pending = ✉️ { $count ->
    [one] { $count } alert
   *[other] { $count } alerts
} not delivered, the oldest waits for { $duration }
status-none-failing = No task is broken.
status-silences = 🔕 Silenced: { $silences }
status-at = As of { $at }
cluster-leader = Leader { $name } (epoch { $epoch }) since { $since }
cluster-leader-unnamed = Leader of epoch { $epoch } since { $since }
cluster-no-leader = No leader
cluster-standby = standby { $names }
cluster-workers = workers { $names }
cluster-lost = lost { $names }
cluster-config-invalid = invalid configuration file: { $names }
cluster-unrenewed = lease not renewed for { $time }
status-line-stopped = stopped { $ago }
status-line-running = running for { $duration }
status-line-restart = restart { $ahead }
status-line-success = success { $ago }
status-line-never = no success yet
status-line-next = again in { $ahead }
status-line-backlog = backlog { $size }, the oldest waits for { $duration }
status-line-backlog-size = backlog { $size }

### /status name

card-schedule-every = Runs: every { $interval }
card-schedule-cron = Runs: cron { $expression }
card-schedule-continuous = Runs: continuously
card-failing = Errors in a row: { $streak }, the first at { $since } ({ $ago })
card-last-error = Last error: { $at } ({ $ago })
card-last-success = Last success: { $at } ({ $ago })
card-no-success = Last success: none yet
card-running = Running for: { $duration }
card-next = Next run: { $at } ({ $ahead })
card-restart = Restart: { $at } ({ $ahead })
card-person = It will not start by itself: a person is needed.
card-progress = Done: { $done } of { $total }
card-backlog = Backlog: { $size }, the oldest waits for { $duration }
card-backlog-size = Backlog: { $size }
card-backlog-empty = Backlog: empty
card-runs = Runs in all: { $runs }, failed: { $failures }
card-by = Last action: { $by }
card-recent = Recent runs:

### /history, /errors, /incidents, /audit

history-title = { $task }: history
history-empty = Nothing has happened yet.
history-runs = { $count ->
    [one] { $count } run
   *[other] { $count } runs
}, { $mean } on average, the longest { $longest }
history-cut = cut off after { $duration }
history-incident = incident #{ $number }: { $kind }, lasted { $duration }
history-incident-open = incident #{ $number }: { $kind }, still open
history-action = { $name }: { $action }
errors-title = { $task }: the last errors
errors-none = No errors on record.
errors-once = Once: { $at } ({ $ago })
errors-times = { $count ->
    [one] { $count } time
   *[other] { $count } times
} since { $first }, the last: { $at } ({ $ago })
traceback-of = { $task }: { $error }, { $at }
traceback-gone = There is no traceback: this failure left none, or it is older than { $days ->
    [one] a day
   *[other] { $days } days
}, after which the history is deleted.
incidents-title = Open incidents: { $count }
incidents-none-open = ✅ No open incidents
incident-of-runner = Dozor
incident-lasts = since { $at }, { $duration } now
incident-was = at { $at }, lasted { $duration }
incident-taken = Acknowledged by { $name }
audit-title = Who did what
audit-place = chat { $place }
result-done = done
result-already = nothing to do
result-denied = denied
result-ignored = ignored, too many
result-answered = answered
result-unknown-task = no such task
result-disabled = disabled
result-expired = expired
result-no-runner = no runner was running
result-unknown-incident = no such open incident
result-unknown-person = no such person
result-invalid = not possible
result-timeout = no answer in time
result-unconfirmed = no answer: the runner ended
audit-attempts = { $count ->
    [one] { $count } attempt
   *[other] { $count } attempts
}
kind-repeated-errors = errors in a row
kind-critical-stop = stopped
kind-hung = a run hangs
kind-overdue = no success
kind-blocked-loop = blocked event loop
kind-dependency = a dependency is down
kind-limit = limit exceeded
kind-pool-exhausted = no free connections for checkers
kind-no-worker = no worker for a pool
kind-backlog = growing backlog
kind-unclean-end = unclean end
kind-bot = the bot does not answer
kind-replica = a replica is lost
kind-replica-config = a replica with another configuration
kind-replica-clock = the clock of a replica is off
kind-late-renewal = the lease is renewed late
kind-telegram = Telegram does not accept messages
kind-checker = the task's own alert
kind-storm = many failures at once
did-restart = restart
did-pause = pause
did-resume = resume
did-run = run
did-ack = incident acknowledged
did-unack = acknowledgement undone
did-silence = silence
did-unsilence = silence ended

### /chart

period-day = 24 hours
period-week = 7 days
period-month = 30 days
unit-ms = ms
unit-s = s
unit-min = min
chart-title = { $task }, { $period }
chart-runs = Runs: successes up, failures down
chart-durations = Duration
chart-streaks = Failures in a row
chart-limit = stop at { $limit }
chart-incident = incident
chart-nothing = No runs
chart-needs-extra = Charts are not installed here. This command adds them: { $command }
chart-share = Succeeded: { $good } of { $total } ({ $percent })
chart-quantiles = Duration: p50 { $p50 }, p95 { $p95 }
chart-longest-streak = Failures in a row, at most: { $streak }
chart-incidents = Incidents: { $count }, { $duration } in all
chart-still-open = (still open)
chart-now = Now: { $state }
chart-last-success = Last success { $ago }

### Commands

command-status = state of the tasks
command-restart = restart a task
command-pause = pause a task
command-resume = resume a paused task
command-run = run a task now
command-errors = the last errors of a task
command-history = runs, incidents and what people did
command-chart = chart of successes, failures and durations
command-incidents = open and recent incidents
command-ack = acknowledge an incident, reminders stop
command-why = why messages about an incident were sent or not
command-silence = no alerts for a while
command-unsilence = end a silence, alerts come again
command-oncall = who is on call now and next
command-audit = who did and tried what
command-code = the one-time code that a command has asked for
command-whoami = your id and role
command-help = what the bot can do
help-title = Dozor supervises background tasks.
help-names = A part of the name is enough. Without a name the bot offers a choice.
help-role = Your role: { $role }.
help-line = /{ $command }: { $description }
argument-name = name
argument-name-period = name 24h|7d|30d
whoami-id = Your id:
whoami-role = Your role: { $role }.
whoami-chat = Chat, for config.yaml:
whoami-stranger = No access. Give this id to Dozor's administrator.
argument-code = 123456
argument-incident = number
argument-scope = name|all
argument-silence = name|all 30m reason
argument-person = name 4h
role-viewer = viewer
role-operator = operator
role-admin = admin
choose-restart = Restart which task?
choose-pause = Pause which task?
choose-resume = Resume which task?
choose-run = Run which task now?
choose-history = The history of which task?
choose-errors = The errors of which task?
choose-chart = A chart of which task?
choose-ack = Acknowledge which incident?
choose-why = The messages of which incident?
choose-silence = What should be silenced?
choose-unsilence = End which silence?
choose-nothing-resume = Nothing is paused.
choose-nothing-stopped = Nothing is stopped.
choose-nothing = No such tasks.
choose-more = The first { $count } are shown. The others by name: /{ $command } name
name-ambiguous = “{ $query }” fits several tasks. Which one?
name-unknown = There is no task “{ $query }”.
name-unknown-like = There is no task “{ $query }”. Did you mean this?
working-restart = ⏳ { $task }: restarting…
working-pause = ⏳ { $task }: pausing…
working-resume = ⏳ { $task }: resuming…
working-run = ⏳ { $task }: starting a run…
done-restart = 🔄 { $task } restarted, now { $state }
ran-restart = 🔄 { $task } restarted
ran-run = ▶️ { $task } started
done-pause = ⏸ { $task } paused
done-resume = ▶️ { $task } resumed, now { $state }
done-run = ▶️ { $task } started, now { $state }
already-restart = { $task }: a restart is under way already
already-pause = { $task } is paused already
already-resume = { $task } is not paused, now { $state }
already-run = { $task } is running already
refused-unknown = { $task }: the runner has no such task
refused-disabled = { $task } is disabled in the configuration (enabled: false)
refused-expired = { $task }: not done, the command expired before its turn came. Send it again
refused-no-runner = { $task }: not done, no runner is running. Start one: dozor run
refused-timeout = { $task }: no answer from the runner yet, the command may still be carried out. Check: /status { $task }
refused-unconfirmed = { $task }: not confirmed, the runner ended in between. The command may have been carried out and is not repeated. Check: /status { $task }, then send it again if needed
earlier-self = { $task }: you gave this command { $ago } already. Not done twice.
earlier-other = { $task }: this command was given { $ago } already, by { $name }. Not done twice.
run-going = ⏳ Run { $number } going on for { $duration }
run-succeeded = ✅ Run { $number } succeeded in { $duration }
run-failed = ❌ Run { $number } failed after { $duration }
run-cut = ⏹ Run { $number } cut off after { $duration }
sure-interrupt = { $task } is running, for { $duration } now. A restart interrupts that run.
sure-paused = { $task } was paused by somebody else: { $who }. Resume it?
sure-paused-run = { $task } was paused by somebody else: { $who }. Run it all the same?
sure-restart = Restart { $count ->
    [one] { $count } task
   *[other] { $count } tasks
}?
sure-pause = Pause { $count ->
    [one] { $count } task
   *[other] { $count } tasks
}?
sure-resume = Resume { $count ->
    [one] { $count } task
   *[other] { $count } tasks
}?
sure-run = Run { $count ->
    [one] { $count } task
   *[other] { $count } tasks
} now?
yes-restart = 🔄 Yes, restart
yes-pause = ⏸ Yes, pause
yes-resume = ▶️ Yes, resume
yes-run = ▶️ Yes, run
confirm-cancelled = Cancelled, nothing was done.
confirm-expired = Not confirmed within a minute, nothing was done.
confirm-gone = The time is over, or it was answered already.
confirm-not-yours = Only { $name } can confirm this.
too-many = Too many commands in a row. Wait a few seconds.
too-old-command = The command came late ({ $duration }) and was not carried out: much may have changed since. If it is still needed, press the button and it runs now:
too-old-press = The press came late and was not carried out: much may have changed since. If it is still needed, here is the command:
forbidden = This needs the role “{ $needed }”, yours is “{ $role }”.
ack-done = ✋ Incident #{ $id } is acknowledged, no reminders for now
ack-done-until = ✋ Incident #{ $id } is acknowledged until { $until }, no reminders until then
ack-already = Incident #{ $id } is already acknowledged.
ack-already-by = Incident #{ $id } is already acknowledged by { $name }.
ack-number = The number of an incident is in its message and in /incidents. For example: /ack 12
ack-nothing = Nothing to acknowledge: no open incident waits for a person.
unack-done = Incident #{ $id } is no longer acknowledged: it waits for a person again.
unack-already = Nobody has acknowledged incident #{ $id }.
silence-done = 🔕 { $what }: silenced for { $duration }, until { $until }
silence-done-open = 🔕 { $what }: silenced until it is over
silence-for = 🔕 { $what }: for how long?
silence-how-long = I do not understand for how long. Write, for example: 30 minutes, 2 hours, 1h30m, until 18:00 or until tomorrow 9:00
silence-line = { $what } until { $until }
silence-line-open = { $what } until it is over
unsilence-done = 🔔 { $what }: silence ended
unsilence-already = { $what }: is not silenced
silence-also = 🔕 A silence goes on: { $what } until { $until }
silence-also-open = 🔕 A silence goes on: { $what } until it is over
unsilence-nothing = Nothing is silenced: all alerts come as usual.
scope-all = all tasks
scope-kind = everything of the kind “{ $kind }”
scope-incident = incident #{ $id }
oncall-now = 📟 On call: { $person }
oncall-until = Until { $until } ({ $ahead })
oncall-instead = Instead of { $person }
oncall-next = Next: { $person }, from { $at }
oncall-none = There is no rotation: section oncall of config.yaml.
oncall-done = 📟 On call now: { $person }
oncall-done-until = 📟 On call until { $until }: { $person }
oncall-already = { $person } is already on call
oncall-unknown = No such person in oncall.people. There are: { $people }
oncall-role = Operators and admins can change who is on call.
refused-incident = There is no open incident #{ $id }.
refused-person = { $task }: no such person in oncall.people
refused-invalid = Not done: something is wrong with the command. How to write it: /help
refused-no-rotation = There is no rotation: section oncall.rotation of config.yaml.
refused-alert-timeout = No answer from the runner yet, the command may still be carried out.
code-needed = 🔐 This takes a code of your authenticator app. Send it within a minute: /code 123456
code-nothing = No command waits for a code. Send the command first, then the code.
code-wrong = The code does not fit, or is used already. Take a new one and send: /code 123456
code-no-secret = You have no code: an admin has to add your secret to telegram.totp.secrets.
code-too-many = Too many wrong codes. Wait a minute.
press-unknown = This button no longer works.
press-taken = Received
command-unknown = No such command. All commands: /help
handler-failed = That did not work: an internal error. Details are in the runner's log.
database-away-waiting = The database does not answer. I will do it, and say so, when it is back.
database-away = The database does not answer. Try again later.
topic-note = The topic for alerts is closed or deleted, so I write here.

### Command line: deposits

market-attributed = { $amount } units of { $currency } from deposit { $deposit } went to user { $user }
rescan-read = Wallet { $wallet }: { $read } transactions read
rescan-single = { $provider } is the only TON provider: what it returns is booked up to the limits for a single provider
rescan-held = { $money }: above the limit for a single provider, not booked; --apply leaves it to `dozor market approve`
rescan-newer = Newer than what the checker has read; it will book them itself: { $newer }
rescan-credited = { $money } → user { $user } ({ $name })
rescan-unmatched = { $money } → account unattributed: the owner is not known
rescan-internal = { $money } from another wallet of ours: recorded without a credit
rescan-dust = { $money }: below the limit, recorded without a credit
rescan-refused = cannot be booked, set aside for a person: { $reason }
rescan-left-out = { $money }: excluded, not booked
rescan-place = lt { $lt }  hash { $hash }
rescan-sender = from { $sender }
rescan-operating = { $money } → account operating: TON from notifications and excesses, transactions: { $count }
rescan-nothing = Nothing was missed
rescan-total-found = Missed: { $deposits ->
    [one] { $deposits } deposit
   *[other] { $deposits } deposits
}. Nothing was changed; to book, repeat with --apply
rescan-total-applied = Booked: { $deposits ->
    [one] { $deposits } deposit
   *[other] { $deposits } deposits
}
rescan-no-task = No task of the configuration runs { $run }, so there is no provider to ask. Name a task: --task NAME
rescan-task-unknown = The configuration has no task { $task }
rescan-wallet-unknown = Wallet { $wallet } is neither in market.ton_wallets nor in the args of task { $task }
rescan-wallet-bad = { $wallet } is not a TON address
### Why a message was sent or not

why-title = Incident #{ $id } · { $task } · { $kind }
why-no-incident = There is no incident { $id }. The last ones: dozor incidents, /incidents
why-no-incidents = There are no incidents.
why-number = The number of an incident is in its message and in /incidents. For example: /why 12
why-nothing = Nothing is recorded: no message has been decided about yet.
why-left-out = { $count ->
    [one] { $count } older message is not shown.
   *[other] { $count } older messages are not shown.
}
why-skipped = { $count ->
    [one] … { $count } decision before this is not kept
   *[other] … { $count } decisions before this are not kept
}
why-line = { $kind }: { $what }
why-for = { $what }: { $why }
why-times = ×{ $count }
why-last = (last at { $at })
why-main-chat = the main chat
why-chat = chat { $chat }
why-queued = queued for { $where }
why-quiet-hours = queued for { $where } without a sound, because of quiet hours
why-muted = muted by silence { $silence }
why-inhibited = inhibited by incident #{ $incident }
why-down = { $what } is down
why-grouped = no message of its own, grouped into the digest of storm #{ $storm }
why-counted = only counted, no message
why-acknowledged = not sent, the incident is acknowledged
why-paused = not sent, the task is paused
why-sent = sent to { $where }
why-edited = the message in { $where } was edited, no new one sent
why-superseded = not sent to { $where }
why-expired = not sent to { $where }, expired: too old to be of use
why-put-off = not delivered to { $where }, to be tried again
why-unknown-outcome = { $where } gave no answer, it may have arrived; to be tried again, marked as a possible duplicate
why-refused = refused by { $where }, shown on the console; to be tried again
why-given-up = given up, shown on the console: { $where } refuses this message and accepts others
why-fallback = sent through the fallback channel instead of { $where }
why-waiting = waits to be sent to { $where }
why-other = a decision of a newer version of Dozor
why-by = by { $name }
why-until = until { $at }
why-until-over = until the incident is over
why-kind-recovered = recovery
why-kind-flapping = flapping
why-kind-trouble = trouble
why-kind-reminder = reminder
why-kind-escalation = escalation
why-because-threshold = fewer errors in a row than alerts begin at
why-because-open = the incident is open already
why-because-flapping = it comes and goes too often
why-because-calming = it comes and goes, and counts as over when it stays calm
why-because-unheard = no message had said that it was broken
why-because-stopped = the critical stop in the same second says how the run ended
why-because-same-end = another incident's message says that the task works again
why-because-unconfigured = the task was removed from the configuration
why-because-lapsed = the task has not repeated it for an hour
why-because-over = it was over before the message was sent
why-because-broken-again = it was broken again before the message was sent
why-because-taken = it was acknowledged or over before the message was sent
why-because-said = another message in the same chat says it
why-because-direct = straight from memory, while the database was away
why-because-wait = Telegram asks to wait { $seconds } s
why-because-moved = the group has become chat { $chat }

### Commands and presses that arrive late or second-hand, answers in another form

too-old-press-help = The press came late and was not carried out. Send the command you need, /help lists them
button-again = ▶️ Run it now
again-running = ▶️ Running: /{ $command }
again-forgotten = Since Dozor was restarted this button has no effect. Send the command in the message again.
confirm-forgotten = The question was asked long ago or before a restart of Dozor, nothing was done. If it is still needed, here is the command:
confirm-forgotten-help = The question was asked long ago or before a restart of Dozor, nothing was done. Send the command again, /help lists them all
press-of-old-version = This button belongs to an earlier version of Dozor and has no effect. The same command:
press-of-old-version-help = This button belongs to an earlier version of Dozor and has no effect. All commands: /help
second-hand-forwarded = { $command } was not carried out: the message is forwarded, its author is not you. Write the command yourself.
second-hand-via-bot = { $command } was not carried out: the message was written through another bot. Write the command yourself.
second-hand-channel = { $command } was not carried out: a message in the name of a channel has no author whose role could be checked. Write it in your own name, here in the group or to the bot in private.
second-hand-anonymous = { $command } was not carried out: you write as an anonymous administrator, so your role cannot be checked. Turn off “Remain anonymous” in your administrator rights of the group, or write to the bot in private.
second-hand-edited = The command is not carried out: it was edited after it was sent. If it is meant, press the button and it runs now:
second-hand-addressed = The command is not carried out: it is addressed to @{ $bot }, and this is @{ $own }. If it is meant for this bot, press the button and it runs now:
answer-in-private = Answer to a command in the chat “{ $chat }”: I cannot write there now.
answer-in-private-group = Answer to a command in a group: I cannot write there now.
answer-topic-closed = The topic is closed or deleted, so I answer here.
chart-not-drawn = The picture could not be drawn, so here are the figures alone. The reason is in the runner's log.
chart-no-photos = This chat takes no photos, so here are the figures alone.
traceback-no-files = This chat takes no files, so here is the end alone.
period-unit = { $number } of what? Choose, or write the unit: 30 minutes, 2 hours, 1 day.
period-or-moment = { $time }: a length or a time of day? Choose, or write: { $length }, until { $time }.
period-until = until { $time }
period-not-positive = The length must be more than zero and in the future. For example: 30 minutes, 2 hours, until 18:00
period-too-long = Too long: at most 30 days.
button-ack-of = ✋ Acknowledge #{ $id } · { $subject }
help-look = 👀 Look
help-act = ⚙️ Act
help-alerts = 🔔 Alerts
help-example = For example:
about-storm = { $open } of { $count } not working
about-storm-over = Not working at the time: { $count }
about-storm-empty = Several tasks failed at once
about-telegram = Does not accept messages: { $chat }
about-dependency = Not available: { $name }
about-bot-deaf = The bot receives no commands from Telegram
about-bot-failed = The bot could not answer a command
about-unclean-end = The last run of Dozor ended uncleanly
about-unknown = A problem

background-repeated = ⚠️ { $name }: { $count ->
    [one] { $count } error
   *[other] { $count } errors in a row
} ({ $count }/{ $limit })
background-stopped = 🛑 { $name } stopped: { $count ->
    [one] { $count } error
   *[other] { $count } errors in a row
}
background-recovered = ✅ { $name } works again
background-duplicate = (possibly a duplicate: the first attempt got no answer)
