"""Measures of a model and of the text that it generates."""
