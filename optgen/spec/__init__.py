"""The rule language: YAML declarations and equations, read into positioned, frozen data."""
