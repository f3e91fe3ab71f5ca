"""What training multiplies in: bf16 where the processor has instructions for it, else fp32.

Elsewhere bf16 products are emulated: a core with AVX2 alone reaches 6 GFLOP/s with them, 48 with fp32 (torch 2.9.1).
"""

from __future__ import annotations

import platform

import torch


def products() -> torch.dtype:
    """The dtype of products in training, the same in all processes of a machine."""
    if platform.machine().lower() in ("x86_64", "amd64"):  # oneDNN also says yes to AVX-512 without bf16
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32
