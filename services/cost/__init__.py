"""What scale-to-zero saves and what it costs in latency, simulated on a trace. Pure: no I/O, no clock."""
