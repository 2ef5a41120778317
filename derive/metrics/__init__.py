"""The queue's numbers for Prometheus, read from SQL."""
