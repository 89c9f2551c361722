"""The Celery worker, its supervisors and the trainer processes."""
