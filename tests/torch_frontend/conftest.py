"""The two hand-written rules, one class each for the whole run."""

from __future__ import annotations

import pytest

from optgen.runtime.torch_optimizer import Optimizer
from tests.torch_frontend.support import make_roller, make_walker


@pytest.fixture(scope="session")
def walker(tmp_path_factory: pytest.TempPathFactory) -> type[Optimizer]:
    return make_walker(tmp_path_factory.mktemp("walker"))


@pytest.fixture(scope="session")
def roller(tmp_path_factory: pytest.TempPathFactory) -> type[Optimizer]:
    return make_roller(tmp_path_factory.mktemp("roller"))


@pytest.fixture(scope="session")
def paced(tmp_path_factory: pytest.TempPathFactory) -> type[Optimizer]:
    """The second rule with a hyper that can be given per parameter."""
    return make_roller(tmp_path_factory.mktemp("paced"), per_parameter="paces")
