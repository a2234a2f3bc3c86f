"""The seam between the compiler and its backends: what a backend declares, and how it is found."""
