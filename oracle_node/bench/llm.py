"""`bench llm`: what exactness costs a language model, beside llama.cpp alone on the same file, in one run."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from oracle_node.bench.timing import medians_s
from oracle_node.commitments.trace import trace
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.language.drafts import LlamaWriter, ProposedText
from oracle_node.language.prompts import Language, load_language
from oracle_node.model.model import Model
from oracle_node.model.solver import Answer, solve

_SEED = 1


def bench_llm(
    model: Model,
    directory: Path,
    gguf: Path,
    prompt_tokens: int,
    tokens: int,
    threads: int = 0,
    rounds: int = 3,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Medians over interleaved rounds, after one to warm up.

    `llama` is llama.cpp reading the prompt and writing the answer's tokens; `answer` is the same by the solver, drafts
    checked; `check` is one pass over a finished claim, as a watcher makes it; `trace` hashes every tensor of it. All
    start with nothing kept of the text. ConfigError where prompt and answer do not fit the model.
    """
    language = load_language(model, directory)
    request = language.request(_prompt(language, prompt_tokens), tokens)
    executor = OnnxExecutor(model.tape, threads)
    with LlamaWriter(gguf, language.limits.context, threads) as writer:
        draft = ProposedText(language, writer)
        answers: list[Answer] = []

        def forget() -> None:
            writer.forget()
            executor.forget()

        def answer() -> None:
            answers.append(solve(model, executor, request.tobytes(), draft))

        answer()
        said = np.frombuffer(answers[0].witness, "<i4").tolist()
        sources = model.sources(request.tobytes(), answers[0].output, answers[0].witness)
        symbols, wanted = model.symbols(sources), [model.tape.output, model.tape.witness, model.tape.ok]
        end = language.vocabulary.end
        works: dict[str, Callable[[], object]] = {
            "llama": lambda: writer.continued(request[1:].tolist(), len(said), end),
            "answer": answer,
            "check": lambda: executor.run(symbols, sources, [t for t in wanted if t is not None]),
        }
        corrected, passes = draft.corrected_tokens, answers[0].passes
        seconds = medians_s(works, rounds, before=forget, after=progress)
    start = perf_counter()
    trace(executor, symbols, sources, known=zip(model.tape.weights, model.weight_roots, strict=True))
    traced = perf_counter() - start
    per_token = {name: len(said) / taken for name, taken in seconds.items()}
    return {
        "prompt_tokens": prompt_tokens,
        "tokens": len(said),
        "threads": threads,
        "rounds": rounds,
        "passes": passes,
        "corrected_tokens": corrected,
        **{f"{name}_seconds": taken for name, taken in seconds.items()},
        "trace_seconds": traced,
        **{f"{name}_tokens_per_second": rate for name, rate in per_token.items()},
        "ratio_answer": seconds["answer"] / seconds["llama"],
        "ratio_check": seconds["check"] / seconds["llama"],
        "ratio_trace": traced / seconds["llama"],
    }


def _prompt(language: Language, length: int) -> list[int]:
    """The start token and words drawn at random."""
    vocabulary = language.vocabulary
    words = [t for t, piece in enumerate(vocabulary.pieces) if piece and t not in vocabulary.end]
    drawn = np.random.default_rng(_SEED).choice(words, length)
    start = [] if vocabulary.start is None else [vocabulary.start]
    return [*start, *drawn.tolist()][:length]
