"""Single values: durations, sizes, schedules, addresses, the kinds of incidents."""
