"""Child processes of `isolation: process`: messages, handle, client, pool, the worker inside."""
