"""Executors of tapes: `reference` is the specification, `onnx` the fast one, `evm` the contract, element by element."""
