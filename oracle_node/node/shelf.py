"""The models that this node has verified, and nothing else: it acts on no other (DESIGN §6, rule 5)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from oracle_node.config import LlamaConfig
from oracle_node.errors import ConfigError
from oracle_node.executors.base import Executor
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.language.drafts import LOOKUP_TOKENS, LlamaWriter, LookupWriter, ProposedText
from oracle_node.language.prompts import is_language, load_language
from oracle_node.model.directory import load_model
from oracle_node.model.model import Model
from oracle_node.model.solver import Draft
from oracle_node.tape.analysis import analyse


@dataclass(frozen=True)
class ShelvedModel:
    """A model whose files match its id and whose tape was proved total here."""

    model: Model
    executor: Executor
    draft: Draft | None = None
    """Who writes the answers that the executor then checks, for language models."""


class Shelf:
    """Verified models by id."""

    def __init__(self, models: Iterable[ShelvedModel]) -> None:
        self._by_id = {shelved.model.model_id: shelved for shelved in models}

    @classmethod
    def load(cls, directories: Iterable[Path], threads: int = 0, llama: LlamaConfig | None = None) -> "Shelf":
        """Read, hash and prove every model; ModelError or AdmissionError where one is not acceptable."""
        return cls(_shelved(directory, threads, llama or LlamaConfig()) for directory in directories)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._by_id

    def __iter__(self) -> Iterator[Model]:
        return (shelved.model for shelved in self._by_id.values())

    def __getitem__(self, model_id: bytes) -> ShelvedModel:
        if model_id not in self._by_id:
            raise ConfigError(f"model 0x{model_id.hex()} is not among the verified ones")
        return self._by_id[model_id]


def shelve(model: Model, threads: int = 0, draft: Draft | None = None) -> ShelvedModel:
    """Prove a model's tape and make it ready to run; AdmissionError where the proof fails."""
    analysis = analyse(model.tape)
    return ShelvedModel(model, OnnxExecutor(model.tape, threads, analysis), draft)


def _shelved(directory: Path, threads: int, llama: LlamaConfig) -> ShelvedModel:
    model = load_model(directory)
    return shelve(model, threads, _draft(model, directory, llama) if is_language(model) else None)


def _draft(model: Model, directory: Path, llama: LlamaConfig) -> Draft:
    """llama.cpp where the configuration has a GGUF file for the model, else a lookup."""
    language = load_language(model, directory)
    gguf = llama.models.get(directory)
    if gguf is None:
        return ProposedText(language, LookupWriter(), LOOKUP_TOKENS)
    context = max(llama.context, language.limits.context)  # llama.cpp fails on what it has no room for
    return ProposedText(language, LlamaWriter(gguf, context, llama.threads, llama.gpu_layers))
