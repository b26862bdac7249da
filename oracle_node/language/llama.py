"""llama.cpp, where it is installed: the one place that imports it, and keeps it quiet."""

import logging
from typing import Any

from oracle_node.errors import ConfigError

_LOGGER = "llama-cpp-python"
"""The logger whose level decides what llama.cpp prints."""


def llama_cpp_package() -> Any:
    """The `llama_cpp` package; ConfigError where it is not installed or does not load."""
    try:
        import llama_cpp
        import llama_cpp.llama_chat_format
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"this needs llama.cpp, which cannot be loaded ({error}): pip install 'oracle-node[llm]'"
        ) from None
    logging.getLogger(_LOGGER).setLevel(logging.CRITICAL)
    return llama_cpp
