# SPDX-License-Identifier: Apache-2.0
"""PyTorch as the other side of a comparison: layers of kernels, eager and compiled, one thread.

Reads a command a line and answers the nanoseconds of one call, or "error ...":
    SiluAndMul|RMSNorm eager|compiled float32|bfloat16 ROWS WIDTH REPEATS
where WIDTH is that of the output. PyTorch's functions make their outputs anew: with MALLOC_MMAP_THRESHOLD_ and
MALLOC_TRIM_THRESHOLD_ at 2e9 that costs no page faults. AVX2 alone is ATEN_CPU_CAPABILITY=avx2.
"""
import functools
import sys
import time

import torch

torch.set_num_threads(1)


def silu_and_mul(x):
    d = x.shape[-1] // 2
    return torch.nn.functional.silu(x[..., :d]) * x[..., d:]


def rms_norm(x, weight):
    return torch.nn.functional.rms_norm(x, (x.shape[-1],), weight, 1e-5)


@functools.lru_cache(maxsize=1)
def prepared(layer, form, dtype, rows, width):
    dtype = getattr(torch, dtype)
    if layer == "SiluAndMul":
        function, arguments = silu_and_mul, (torch.rand(rows, 2 * width).sub_(0.5).to(dtype),)
    elif layer == "RMSNorm":
        function, arguments = rms_norm, (torch.rand(rows, width).sub_(0.5).to(dtype), torch.rand(width).to(dtype))
    else:
        raise ValueError(f"`{layer}` is no layer of this program")
    return torch.compile(function, dynamic=False) if form == "compiled" else function, arguments


def measure(repeats, *what):
    function, arguments = prepared(*what)
    with torch.inference_mode():
        for _ in range(2):
            function(*arguments)
        begin = time.perf_counter_ns()
        for _ in range(repeats):
            function(*arguments)
        return (time.perf_counter_ns() - begin) / repeats


for line in sys.stdin:
    try:
        layer, form, dtype, rows, width, repeats = line.split()
        print(measure(int(repeats), layer, form, dtype, int(rows), int(width)), flush=True)
    except Exception as error:  # the other side prints it
        print("error", str(error).splitlines()[0] if str(error) else type(error).__name__, flush=True)
