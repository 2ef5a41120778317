"""Mutation testing: small faults put into the code one at a time; the tests have to notice each of them."""
