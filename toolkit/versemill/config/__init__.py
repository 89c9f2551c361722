"""What defines a job: its options, their validation, and recipes."""
