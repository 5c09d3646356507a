"""Turns a GGUF file into a model folder that vLLM reads: safetensors in bfloat16, configuration and tokenizer.

    .venv-vllm/bin/python deploy/gguf_to_safetensors.py MODEL.gguf FOLDER

Runs in vLLM's own environment. The weights are those of the quantised file, written out: no better than it. The folder
appears when it is whole; one that is there already is left alone.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def convert(gguf: Path, folder: Path) -> None:
    """Write ``folder`` from ``gguf``."""
    half = folder.with_name(folder.name + ".part")
    shutil.rmtree(half, ignore_errors=True)
    place, name = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(
        place, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    ).to(torch.bfloat16)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # vLLM would look for quantised weights
    model.save_pretrained(half)
    AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(half)
    half.rename(folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("two arguments are needed: the GGUF file and the folder to make")
    if not Path(sys.argv[2]).is_dir():
        convert(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
