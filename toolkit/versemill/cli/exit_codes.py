"""Exit codes of commands; 0 is success."""

FAILED = 1
USAGE = 2
INTERRUPTED = 130
