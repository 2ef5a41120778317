"""The worker: claims jobs, keeps their leases, asks the model, and hands in what came of it."""
