"""All of the worker that knows Celery."""
