"""What generated code and the optimizers built on it need at run time; imports neither SymPy nor xDSL."""
