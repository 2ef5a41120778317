"""Verification: bytes, rows, prompt and output of past runs held against each other.

``verification`` goes through the runs; ``checking`` looks at one; ``rows`` holds SQL, manifest and folder together
(the quick part), ``question`` and ``answer`` look into the files. What they find are ``findings``.
"""
