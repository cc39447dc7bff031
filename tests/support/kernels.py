"""Which kernels this process computes with."""

import os


def _onednn_is_capped():
    if "ONEDNN_MAX_CPU_ISA" not in os.environ:
        return False
    from frostline.model import bfloat16

    return not bfloat16.onednn_takes_bfloat16()


ONEDNN_IS_CAPPED = _onednn_is_capped()  # below what bfloat16 takes: a product of two tensors in it ends the process
