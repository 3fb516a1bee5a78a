# SPDX-License-Identifier: Apache-2.0
"""Python's `kernels` as the other side of a comparison, one thread: the layers of the Hub's activation and rmsnorm,
their own Python files, bindings and CPU kernels, from local packages in place of the Hub.

usage: kernels_worker.py FOLDER    with a package for each of the two; tests/bench/peers builds them

Reads a command a line and answers a line, or "error ...":
    version                        of kernels and PyTorch
    call DTYPE ROWS WIDTH REPEATS  nanoseconds of one call of a kernelized SiluAndMul, from the module's __call__ to the
                                   tensor that it returns; WIDTH is that of the output
    kernelize REPEATS              nanoseconds of kernelize() of 30 blocks of 4 RMSNorm and 3 SiluAndMul, whose kernels
                                   are loaded
"""
import functools
import pathlib
import sys
import time

import kernels
import torch

torch.set_num_threads(1)


@kernels.use_kernel_forward_from_hub("SiluAndMul")
class SiluAndMul(torch.nn.Module):
    def forward(self, x):
        d = x.shape[-1] // 2
        return torch.nn.functional.silu(x[..., :d]) * x[..., d:]


@kernels.use_kernel_forward_from_hub("RMSNorm")
class RMSNorm(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))
        self.variance_epsilon = 1e-5

    def forward(self, hidden_states):
        return torch.nn.functional.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)


def package(name, layer):
    return {"cpu": kernels.LocalLayerRepository(pathlib.Path(sys.argv[1]) / name, layer_name=layer)}


kernels.register_kernel_mapping(
    {"SiluAndMul": package("activation", "SiluAndMul"), "RMSNorm": package("rmsnorm", "RMSNorm")}
)


def kernelize(model):
    return kernels.kernelize(model, mode=kernels.Mode.INFERENCE, device="cpu", use_fallback=False)


def mean_time(call, repeats):
    call()
    begin = time.perf_counter_ns()
    for _ in range(repeats):
        call()
    return (time.perf_counter_ns() - begin) / repeats


# What is asked for again and again is made once.
@functools.lru_cache(maxsize=1)
def kernelized_layer(dtype, rows, width):
    x = torch.rand(rows, 2 * width).sub_(0.5).to(getattr(torch, dtype))
    layer = kernelize(SiluAndMul())
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), SiluAndMul()(x))
    return layer, x


@functools.lru_cache(maxsize=1)
def model():
    def block():
        return [RMSNorm(576) for _ in range(4)] + [SiluAndMul() for _ in range(3)]

    return torch.nn.Sequential(*(layer for _ in range(30) for layer in block()))


def answer(command, *arguments):
    if command == "version":
        return f"kernels {kernels.__version__}, PyTorch {torch.__version__}"
    if command == "kernelize":
        return mean_time(lambda: kernelize(model()), int(arguments[0]))
    dtype, rows, width, repeats = arguments
    layer, x = kernelized_layer(dtype, int(rows), int(width))
    with torch.inference_mode():
        return mean_time(lambda: layer(x), int(repeats))


for line in sys.stdin:
    try:
        print(answer(*line.split()), flush=True)
    except Exception as error:  # the other side prints it
        print("error", str(error).splitlines()[0] if str(error) else type(error).__name__, flush=True)
