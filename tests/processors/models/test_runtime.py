"""Networks run from many threads, and refuse with our own errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.models.onnx_graph import Graph
from processors.models.runtime import Network, RuntimeOptions, available_providers


def _doubling() -> bytes:
    graph = Graph("double")
    x = graph.input("x", "float32", ("n", 3))
    graph.output("y", ("n", 3), value=graph.add("Add", [x, x]))
    return graph.serialized()


@pytest.fixture
def network() -> Network:
    return Network(_doubling(), RuntimeOptions())


def test_tells_inputs_and_outputs(network: Network) -> None:
    """Names and shapes are those of the model; free dimensions keep their name."""
    assert network.inputs == {"x": ("n", 3)}
    assert network.outputs == ("y",)
    assert network.providers == ("CPUExecutionProvider",)


def test_loads_a_file(tmp_path: Path) -> None:
    """A path works as well as bytes."""
    path = tmp_path / "double.onnx"
    path.write_bytes(_doubling())
    [y] = Network(path, RuntimeOptions()).run(x=np.ones((1, 3), dtype=np.float32))
    assert y.tolist() == [[2.0, 2.0, 2.0]]


def test_many_threads_share_one_network(network: Network) -> None:
    """Each thread gets its own answer."""

    def run(number: int) -> NDArray[np.float32]:
        [y] = network.run(x=np.full((number % 7 + 1, 3), number, dtype=np.float32))
        return y

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, range(200)))
    for number, result in enumerate(results):
        assert result.shape == (number % 7 + 1, 3)
        assert (result == 2 * number).all()


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": np.ones((1, 4), dtype=np.float32)},
        {"x": np.ones((1, 3), dtype=np.float64)},
        {"z": np.ones((1, 3), dtype=np.float32)},
        {},
    ],
    ids=["shape", "type", "name", "nothing"],
)
def test_wrong_inputs_are_refused(network: Network, inputs: dict[str, NDArray[np.float32]]) -> None:
    """What does not fit the network is a NetworkError."""
    with pytest.raises(NetworkError, match="running a network failed"):
        network.run(**inputs)


@pytest.mark.parametrize("model", [b"", b"garbage", Path("no/such.onnx")], ids=str)
def test_what_is_no_model_is_refused(model: bytes | Path) -> None:
    """Bytes and files that hold no model are a NetworkError."""
    with pytest.raises(NetworkError, match="loading a network failed"):
        Network(model, RuntimeOptions())


def test_a_provider_this_build_lacks() -> None:
    """With no other choice the error lists what there is."""
    assert "cpu" in available_providers()
    with pytest.raises(NetworkError, match=r"it has .*cpu"):
        Network(_doubling(), RuntimeOptions(providers=("coreml",)))


def test_a_provider_this_build_lacks_is_passed_over() -> None:
    """With a fallback the network runs on it."""
    network = Network(_doubling(), RuntimeOptions(providers=("coreml", "cpu")))
    assert network.providers == ("CPUExecutionProvider",)


@pytest.mark.parametrize(
    "options",
    [{"providers": ("tpu",)}, {"providers": ()}, {"intra_op_threads": 0}],
    ids=["unknown", "none", "no-threads"],
)
def test_options_that_make_no_sense(options: dict[str, tuple[str, ...]]) -> None:
    """Unknown providers and zero threads are a ValueError."""
    with pytest.raises(ValueError, match="must be"):
        RuntimeOptions(**options)  # type: ignore[arg-type]  # wrong on purpose
