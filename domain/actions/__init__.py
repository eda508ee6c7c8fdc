"""What a task does when it is due: remind, call a webhook, or run a handler."""
