"""Evidence: where it comes from, what is taken out of it, and the bounded bundle a model may look at."""
