"""Trackers beside a run, each in a process of its own."""
