"""Who is notified and when: routes, silences, quiet hours, escalation, on-call."""
