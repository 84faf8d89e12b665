"""`dozor service`: a systemd unit for a configuration."""
