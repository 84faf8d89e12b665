"""Messages by the clock: daily reports, heartbeat to an outside monitor."""
