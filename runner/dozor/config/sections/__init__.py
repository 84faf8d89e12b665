"""The sections of the configuration as typed, frozen models."""
