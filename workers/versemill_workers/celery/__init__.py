"""The only part of the worker that imports Celery."""
