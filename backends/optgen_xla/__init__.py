"""The XLA backend: rules as plain `jax.numpy` functions."""

from optgen_xla.backend import backend as backend
