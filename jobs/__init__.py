"""The processes that act without being asked: scheduler, worker, relay, notifier."""
