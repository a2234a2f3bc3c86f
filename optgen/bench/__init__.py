"""Measuring optimizers against each other: parameter lists, peers of other libraries, steps taken in turn."""
