"""Build hook: the specs at the root of the checkout travel in a wheel as ``optgen/_specs``."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SpecsHook(BuildHookInterface[Any]):
    """Adds the specs to a standard wheel.

    An editable install reads them where they are, so that an edit is seen without reinstalling.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extends ``build_data`` in place; ``version`` is ``standard`` or ``editable``."""
        if version == "standard":
            build_data["force_include"]["specs"] = "optgen/_specs"
