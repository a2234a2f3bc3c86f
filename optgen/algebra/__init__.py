"""Algebra over rules, for reading and for proofs; never for what is lowered."""
