"""Workers: an RQ worker process whose jobs name lanes, the drains that work on them, the periodic tasks."""
