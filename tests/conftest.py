"""What every test gets: two threads, a build cache of its own, and the same random numbers on every run."""

import os
import random
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Two threads, however many cores there are: results of parallel kernels are then exercised everywhere and the two
# workers of `make test` do not fight. Numba and torch read these when first imported, hence at import of this file.
for _name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "2")

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile(
    "explore", max_examples=1000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

_CACHE = "OPTGEN_CACHE_DIR"
_cache_key = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Gives the run an empty cache, shared by the workers, so that nothing stale passes and nothing of the user's
    changes. A cache named in the environment is respected."""
    if _CACHE not in os.environ:
        folder = tempfile.mkdtemp(prefix="optgen-tests-")
        config.stash[_cache_key] = folder
        os.environ[_CACHE] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the cache of this run."""
    folder = config.stash.get(_cache_key, None)
    if folder is not None:
        del os.environ[_CACHE]
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _same_random_numbers(request: pytest.FixtureRequest) -> None:
    """Seeds the global generators from the test's own name: the same alone, in any order and on any worker."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded by the test's name, so that failures repeat."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


#: Folders whose tests compile or train every rule: left out of `make check`, run by `make test`.
SLOW = (
    *("equivalence", "oracle", "cli", "torch_frontend", "jax_frontend", "keras_frontend", "docs", "state"),
    *("backends_triton", "backends_numba_cuda", "peers"),
    *("guarantees", "faults", "algebra", "authoring", "backends", "composition", "packaging", "properties", "shipped"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whole folders as slow."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)
