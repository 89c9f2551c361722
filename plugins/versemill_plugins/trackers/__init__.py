"""Trackers: followers of a run."""
