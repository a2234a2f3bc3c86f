"""Ways to write a rule besides a text editor: a template to start from, SymPy expressions, a decorated function."""
