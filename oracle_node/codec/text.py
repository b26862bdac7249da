"""Text as an encoder's token ids, by the `tokenizer.json` in a model's directory (Hugging Face's format).

Not here: prompts of language models, whose vocabulary is a GGUF file (`language`).
"""

from pathlib import Path

import numpy as np

from oracle_node.errors import ConfigError
from oracle_node.model.directory import TEXT_TOKENIZER

VOCABULARY_SUFFIX = ".txt"


def token_ids(text: str, directory: Path, most: int) -> np.ndarray:
    """(n,) i64: the ids of a text with the tokenizer's special tokens, cut off to `most` as it does."""
    tokenizer = _open(directory / TEXT_TOKENIZER)
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return np.asarray(tokenizer.encode(text).ids, np.int64)


def install_tokenizer(source: Path, directory: Path) -> None:
    """Put a tokenizer into a model's directory: a tokenizer.json, or BERT's vocab.txt, read in lower case."""
    target = directory / TEXT_TOKENIZER
    if source.suffix == VOCABULARY_SUFFIX:
        _require_library()
        from tokenizers import BertWordPieceTokenizer

        try:
            BertWordPieceTokenizer(str(source), lowercase=True).save(str(target), pretty=False)
        except Exception as error:  # the library raises bare ones
            raise ConfigError(f"{source}: not a vocabulary of word pieces ({error})") from None
    else:
        _open(source).save(str(target), pretty=False)


def vocabulary_size(directory: Path) -> int:
    """How many tokens the model's tokenizer knows."""
    return int(_open(directory / TEXT_TOKENIZER).get_vocab_size())


def _open(path: Path):  # type: ignore[no-untyped-def]
    _require_library()
    from tokenizers import Tokenizer

    if not path.exists():
        raise ConfigError(f"{path}: no such file: without a tokenizer give token ids (.npy)")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare ones
        raise ConfigError(f"{path}: not a tokenizer ({error})") from None


def _require_library() -> None:
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        raise ConfigError(
            "the package tokenizers is needed for text: pip install 'oracle-node[text]'"
        ) from None
