# SPDX-License-Identifier: Apache-2.0
"""PyTorch as the other side of a comparison: layers of kernels, eager and compiled, one thread.

Reads a command a line and answers a line, or "error ...", where LAYER is SiluAndMul or RMSNorm, FORM eager or compiled,
and WIDTH that of the output:
    version
    output LAYER FORM DTYPE ROWS WIDTH FILE OUTPUT    writes the output's bytes; FILE: those of the input and then of
                                                      the weight
    time LAYER FORM DTYPE ROWS WIDTH REPEATS          nanoseconds of one call, of the inputs that were given last
PyTorch's functions make their outputs anew: with MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ at 2e9 that costs no
page faults. AVX2 alone is ATEN_CPU_CAPABILITY=avx2.
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


# Its function, and the shapes of its arguments, one after the other.
@functools.lru_cache(maxsize=1)
def prepared(layer, form, rows, width):
    if layer == "SiluAndMul":
        function, shapes = silu_and_mul, [(rows, 2 * width)]
    elif layer == "RMSNorm":
        function, shapes = rms_norm, [(rows, width), (width,)]
    else:
        raise ValueError(f"`{layer}` is no layer of this program")
    return torch.compile(function, dynamic=False) if form == "compiled" else function, shapes


# Of the layer that was asked for last.
arguments = []


def output(function, shapes, dtype, path, written):
    sizes = [torch.Size(shape).numel() for shape in shapes]
    elements = torch.from_file(path, size=sum(sizes), dtype=dtype)
    arguments[:] = [part.clone().view(shape) for part, shape in zip(elements.split(sizes), shapes)]
    result = function(*arguments)
    torch.from_file(written, shared=True, size=result.numel(), dtype=dtype).copy_(result.flatten())
    return "written"


def mean_time(function, repeats):
    for _ in range(2):
        function(*arguments)
    begin = time.perf_counter_ns()
    for _ in range(repeats):
        function(*arguments)
    return (time.perf_counter_ns() - begin) / repeats


def answer(command, *words):
    if command == "version":
        return f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    layer, form, dtype, rows, width, *rest = words
    function, shapes = prepared(layer, form, int(rows), int(width))
    with torch.inference_mode():
        if command == "output":
            return output(function, shapes, getattr(torch, dtype), *rest)
        return mean_time(function, int(rest[0]))


for line in sys.stdin:
    try:
        print(answer(*line.split()), flush=True)
    except Exception as error:  # the other side prints it
        print("error", str(error).splitlines()[0] if str(error) else type(error).__name__, flush=True)
