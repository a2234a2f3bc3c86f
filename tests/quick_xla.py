"""Options by which XLA compiles faster: the older of its two code generators, and no optimization.

Numbers by those that are the default are proven where they are asked for, in tests/jax_frontend and tests/equivalence.
"""

from collections.abc import Mapping
from typing import Final

QUICK: Final[Mapping[str, bool | int]] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
#: The same as a variable of the environment.
QUICK_VARIABLES: Final = {"XLA_FLAGS": " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK.items())}
