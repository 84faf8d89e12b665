"""TON API providers behind one port, their answers, their freshness and health."""
