"""HTTP itself: connections, access, compression, shared answers, the webhook."""
