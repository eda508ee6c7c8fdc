"""Cache, events, signals and hand-overs inside one process, for when it is the only one."""
