"""Networks for other programs: ONNX files."""

from pathlib import Path
from typing import Any

import numpy as np

from gluonbook import _check, _files
from gluonbook._mxnet import gluon, mx

OPSET, IR_VERSION = 13, 7  # MXNet's converters write version 13, and stamp the file with the newest that onnx knows


def export_onnx(net: Any, path: _files.PathLike, shape: tuple[int, ...]) -> Path:
    """Write a network and its parameters as an ONNX file, which other programs run without MXNet.

    MXNet's converters write the graph. What onnxruntime refuses or warns of in their files is mended: the version of
    the operators is the one that they were written in, and parameters are no inputs.

    Args:
        net: hybrid block with one input and one output, initialised, its shapes settled by a first call.
        path: of the file; its folder is made if missing.
        shape: of an example, without N: (C, H, W), or (D,). The file takes any N.

    Returns:
        the path. The file's input is called ``data``, and is float32.

    Raises:
        ImportError: the package onnx is not installed; the extra ``[onnx]`` brings it.
        TypeError: the net is not hybrid.
        ValueError: the shape is none, a parameter has no values yet, or an operator has no converter.

    >>> net = gluon.nn.Dense(2, in_units=3)
    >>> net.initialize()
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(net, Path(folder) / "net.onnx", (3,)).name
    'net.onnx'
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("the package onnx is not installed: pip install '.[onnx]' brings it") from error

    if not isinstance(net, gluon.HybridBlock):
        raise TypeError(f"net must be a HybridBlock, of which there is a graph, got {type(net).__name__}")
    if not shape:
        raise ValueError("shape must be that of an example without N, such as (3, 224, 224), got ()")
    for size in shape:
        _check.integer("shape", size, at_least=1)
    try:
        params = {name: param.data() for name, param in net.collect_params().items()}
    except (RuntimeError, gluon.parameter.DeferredInitializationError) as error:
        raise ValueError("net must have its parameters: call it once before it is exported") from error
    with _files.replacing(Path(path)) as neighbour:
        try:
            mx.onnx.export_model(
                *(net(mx.sym.var("data")), params, [(1, *shape)], np.float32, str(neighbour)),
                dynamic=True,
                dynamic_input_shapes=[(None, *shape)],
            )
        except AttributeError as error:  # "No conversion function registered for op type …"
            raise ValueError(f"net cannot be written as ONNX: {error}") from error
        model = onnx.load(str(neighbour))
        _mend(model)
        onnx.checker.check_model(model)
        onnx.save(model, str(neighbour))
    return Path(path)


def _mend(model: Any) -> None:
    """Give a model the version of its operators, and take its parameters out of its inputs; in place."""
    model.opset_import[0].version, model.ir_version = OPSET, IR_VERSION
    values = {initializer.name for initializer in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
