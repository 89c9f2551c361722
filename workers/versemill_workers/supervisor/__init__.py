"""One attempt at a job, as the worker sees it: its process, its files, its database rows."""
