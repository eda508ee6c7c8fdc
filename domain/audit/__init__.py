"""The audit log: which mutations were asked for, by whom, and how they ended."""
