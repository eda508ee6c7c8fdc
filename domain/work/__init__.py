"""What is to be done, of a task as of a schedule's tasks: how it is asked for, and what it may hold."""
