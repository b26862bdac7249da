"""The exceptions of the package: one small tree, by what the caller should do next."""


class OracleError(Exception):
    """Anything this package raises on purpose; `str()` is one clear line for people."""


class ConfigError(OracleError):
    """What was asked for cannot be done as it stands: a file, an option or an argument has to change."""


class ModelError(ConfigError):
    """A model, or a file that should hold one, is not acceptable."""


class AdmissionError(ModelError):
    """A tape for which the interval analysis cannot prove that every instruction is total."""


class TransientError(OracleError):
    """The outside world failed for now (RPC, network): the same call may succeed later."""


class ProtocolError(OracleError):
    """The chain or an opponent did something the protocol forbids: stop this dispute, not the node."""


class DeterminismError(OracleError):
    """Two of our own executors disagree: stop the node before it stakes money on either."""
