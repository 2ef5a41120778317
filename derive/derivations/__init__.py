"""Derivations: a source and an interrogation, whose answers are kept current.

``declarations`` finds what is declared, ``comparison`` compares a source with the derivation's subjects, ``planning``
counts and prices the difference, ``applying`` queues it.
"""
