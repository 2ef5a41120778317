"""The worker: claims jobs, keeps their leases, asks the model and completes the runs."""
