"""Passes between the rule dialect and the kernel dialect."""
