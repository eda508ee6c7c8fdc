"""What can be seen of a running process: traces, logs, its event loop."""
