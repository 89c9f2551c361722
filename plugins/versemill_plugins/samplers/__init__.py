"""The built-in training-window samplers, one per file."""
