"""Verification of past runs: their rows, files, prompt, request, answer and output must agree.

``verification`` goes through the runs and ``checking`` verifies one: ``rows`` compares SQL, manifest and folder (the
quick part), ``question`` and ``answer`` the contents of the files. Results are ``findings``.
"""
