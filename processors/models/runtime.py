"""The one door to ONNX Runtime: a network is loaded once and run from many threads.

The library is imported by whoever first needs it: 20 MB that a process does without as long as
it has nothing to analyse.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.models.batches import Batcher

__all__ = ["PROVIDERS", "Network", "RuntimeOptions", "available_providers"]

logger = logging.getLogger(__name__)

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""Short names of execution providers, and ONNX Runtime's own."""

BATCH_SIZE = 16
"""Of runs on a device, unless something else is asked."""

# ONNX Runtime's arena grows by doubling unless told otherwise, and keeps what it has.
# One arena for all networks, growing by what is asked, holds the largest run and no more.
_ARENA_SAME_AS_REQUESTED = 1


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """How networks run."""

    providers: tuple[str, ...] = ("cpu",)
    """Execution providers by short name, best first; later ones are fallbacks."""
    intra_op_threads: int = 1
    """Threads inside one run. Small networks get slower with more than one on a CPU."""
    batch_size: int | None = None
    """Most pictures, of several threads, in one run; ``None``: 1 on a CPU, else 16."""
    batch_window_seconds: float = 0.0
    """How long a run waits for others to join it although the device is idle."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.providers if name not in PROVIDERS]
        if unknown or not self.providers:
            raise ValueError(
                f"providers must be some of {', '.join(PROVIDERS)}, got {self.providers}"
            )
        if self.intra_op_threads < 1:
            raise ValueError(f"intra_op_threads must be 1 or more, got {self.intra_op_threads}")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")
        if not self.batch_window_seconds >= 0:
            raise ValueError(
                f"batch_window_seconds must be 0 or more, got {self.batch_window_seconds}"
            )


class Network:
    """One neural network, shared by all threads."""

    inputs: Mapping[str, tuple[int | str | None, ...]]
    """Names and shapes of the inputs; a free dimension is its name or ``None``."""
    outputs: tuple[str, ...]
    """Names of the outputs, in the order of :meth:`run`."""
    providers: tuple[str, ...]
    """The execution providers in use, by ONNX Runtime's names."""

    def __init__(self, model: bytes | Path, options: RuntimeOptions) -> None:
        """Load a network.

        Args:
            model: A serialized ONNX model, or the file that holds it.
            options: How to run it.

        Raises:
            NetworkError: If the model cannot be read, or no wanted provider can run.

        """
        wanted = _usable_providers(options)
        _share_one_arena()
        source = model if isinstance(model, bytes) else str(model)
        with _translated("loading a network"):
            self._session = _onnxruntime().InferenceSession(
                source,
                sess_options=_session_options(options),
                providers=wanted,
                enable_fallback=False,
            )
        self.inputs = {item.name: tuple(item.shape) for item in self._session.get_inputs()}
        self.outputs = tuple(item.name for item in self._session.get_outputs())
        self.providers = tuple(self._session.get_providers())
        if wanted[0] not in self.providers:
            if not any(provider in self.providers for provider in wanted):
                raise NetworkError(f"none of {', '.join(wanted)} could be started on this machine")
            logger.warning(
                "%s could not be started, running on %s",
                wanted[0],
                self.providers[0],
                extra={"provider": self.providers[0]},
            )
        self._batcher = self._make_batcher(options)

    @property
    def is_batched(self) -> bool:
        """Whether runs of several threads are taken together."""
        return self._batcher is not None

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the network on arrays named as its inputs; safe from many threads at once.

        Raises:
            NetworkError: If the arrays do not fit the network.

        """
        return self._run(inputs) if self._batcher is None else self._batcher(inputs)

    def _run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with _translated("running a network"):
            results: list[NDArray[Any]] = self._session.run(None, dict(inputs))
        return results

    def _make_batcher(self, options: RuntimeOptions) -> Batcher | None:
        usual = 1 if self.providers[0] == PROVIDERS["cpu"] else BATCH_SIZE
        most_rows = usual if options.batch_size is None else options.batch_size
        shapes = [
            item.shape for item in (*self._session.get_inputs(), *self._session.get_outputs())
        ]
        if most_rows < 2 or not all(shape and not isinstance(shape[0], int) for shape in shapes):
            return None
        return Batcher(self._run, most_rows=most_rows, window_seconds=options.batch_window_seconds)


def available_providers() -> tuple[str, ...]:
    """Return the short names of the providers this build of ONNX Runtime has."""
    built_in = _onnxruntime().get_available_providers()
    return tuple(short for short, full in PROVIDERS.items() if full in built_in)


def _usable_providers(options: RuntimeOptions) -> list[str]:
    available = available_providers()
    usable = [PROVIDERS[name] for name in options.providers if name in available]
    if not usable:
        raise NetworkError(
            f"this build of ONNX Runtime has none of the providers "
            f"{', '.join(options.providers)}, it has {', '.join(available)}"
        )
    return usable


def _session_options(options: RuntimeOptions) -> Any:
    ort = _onnxruntime()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.intra_op_threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Spinning doubles the CPU a small network costs (measured), and gains nothing here.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    settings.add_session_config_entry("session.use_env_allocators", "1")
    # Patterns are remembered per input shape: memory without end where shapes vary.
    settings.enable_mem_pattern = False
    settings.log_severity_level = 3
    return settings


@functools.cache
def _share_one_arena() -> None:
    """Register the process-wide CPU arena; once, before the first session."""
    ort = _onnxruntime()
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    settings = ort.OrtArenaCfg(0, _ARENA_SAME_AS_REQUESTED, -1, -1)
    with _translated("making the memory arena"):
        ort.create_and_register_allocator(memory, settings)


@contextlib.contextmanager
def _translated(action: str) -> Iterator[None]:
    try:
        yield
    except _refusals() as error:
        raise NetworkError(f"{action} failed: {error}") from error


@functools.cache
def _refusals() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises; its exceptions share no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415 - see above

    own = (value for value in vars(state).values() if isinstance(value, type))
    return (*(kind for kind in own if issubclass(kind, Exception)), ValueError, TypeError)


def _onnxruntime() -> Any:
    import onnxruntime  # noqa: PLC0415 - see the module

    return onnxruntime
