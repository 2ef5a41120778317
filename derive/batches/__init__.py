"""Batches: whole-batch operations in bounded steps, and what a page or command says of a batch."""
