"""Checkpoint files: safetensors with JSON metadata."""
