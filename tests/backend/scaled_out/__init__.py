"""Web processes and Celery workers, each a process of its own."""
