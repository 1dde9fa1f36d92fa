"""Where networks run: TorchScript loaded after its hash was verified, a GPU when there is one, else the CPU.

A TorchScript file is a program for torch's own interpreter; it is not unpickled as Python objects.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

THREADS_VARIABLE = "HOUNSFIELD_TORCH_THREADS"
Floats = npt.NDArray[np.float32]
T = TypeVar("T")


class Network:
    """One TorchScript network on one device; inputs and outputs are numpy arrays."""

    def __init__(self, path: Path, device: torch.device) -> None:
        with warnings.catch_warnings():
            # The weights exist only as TorchScript; torch still loads it and says that it is old.
            warnings.simplefilter("ignore", DeprecationWarning)
            load: Callable[..., Any] = torch.jit.load
            self._module: Any = load(path, map_location=device).eval()
        self._device = device

    def __call__(self, values: Floats) -> Floats:
        """Give the output for a (batch, channel, z, y, x) array."""
        with torch.inference_mode():
            output = self._module(torch.from_numpy(values).to(self._device))
        return np.asarray(output.float().cpu().numpy(), np.float32)


Load = Callable[[Path], Network]


def on_best_device(work: Callable[[Load], T]) -> tuple[T, str, tuple[str, ...]]:
    """Do work on the GPU or, where there is none or its memory is short, on the CPU.

    `work` is given a function that loads a network. Gives what it gave, the name of the device it
    ran on, and a note where it fell back.
    """
    notes: tuple[str, ...] = ()
    with _threads():
        if torch.cuda.is_available():
            gpu = torch.device("cuda")
            try:
                return work(lambda path: Network(path, gpu)), _name(gpu), ()
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
                notes = ("The GPU's memory was too short; computed on the CPU instead.",)
        cpu = torch.device("cpu")
        return work(lambda path: Network(path, cpu)), _name(cpu), notes


def _name(device: torch.device) -> str:
    """Give "cpu", or the GPU's own name."""
    return "cpu" if device.type == "cpu" else f"cuda: {torch.cuda.get_device_name(device)}"


@contextmanager
def _threads() -> Iterator[None]:
    """Run with the number of CPU threads that a worker may use, then put the old number back."""
    before = torch.get_num_threads()
    named = os.environ.get(THREADS_VARIABLE, "")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(int(named) if named.isdigit() and int(named) else min(available or 1, 4))
    try:
        yield
    finally:
        torch.set_num_threads(before)
