"""Pages on which people decide about facts, and see how well that goes."""
