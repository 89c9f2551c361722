"""Measures of a model and of what it writes."""
