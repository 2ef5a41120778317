"""The queue's Prometheus metrics, read from SQL."""
