"""Ollama's own protocol: the body of ``/api/chat``, its NDJSON stream, and what it tells of its models."""
