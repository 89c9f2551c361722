"""The built-in tokenizers, one per file."""
