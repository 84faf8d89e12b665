"""The Bot API border: session, methods, wire format, errors, transport, webhook."""
