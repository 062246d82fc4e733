"""Checkpoints: a folder with a ``.params`` file (weights and the optimiser's state) and a JSON file.

The JSON names the ``.params`` and holds the rest; both are written beside and renamed, the JSON last, so a stopped run
leaves a whole checkpoint.
"""

from pathlib import Path
from typing import Any

from gluonbook import _files
from gluonbook._mxnet import nd

CHECKPOINT = "checkpoint.json"


def optimizer_state(trainer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a resumed ``gluon.Trainer`` needs: its arrays by name, and its counts as plain data.

    Trainer.save_states would pickle them.
    """
    updater = trainer._updaters[0]
    arrays = {}
    for index, state in updater.states.items():
        for i, array in enumerate(_as_tuple(state)):
            arrays[f"optimizer:{index}:{i}"] = array
    counts = trainer.optimizer._index_update_count
    return arrays, {"num_update": trainer.optimizer.num_update, "counts": {str(k): n for k, n in counts.items()}}


def restore_optimizer(trainer: Any, arrays: dict[str, Any], counts: dict[str, Any]) -> None:
    """Give a new ``gluon.Trainer`` the state that ``optimizer_state`` returned, on each of its devices.

    States go by the number of their parameter: both trainers must have theirs in one order. A list keeps its order; a
    dict is sorted by names, which Gluon counts up with each network of a process.
    """
    trainer._init_kvstore()
    optimizer = trainer.optimizer
    for updater, ctx in zip(trainer._updaters, trainer._contexts):
        for index, param in enumerate(trainer._params):
            if param.grad_req == "null":
                continue
            own = optimizer.create_state_multi_precision(index, param.data(ctx))
            for i, array in enumerate(_as_tuple(own)):
                array[:] = arrays[f"optimizer:{index}:{i}"].as_in_context(array.context)
            updater.states[index] = own
            updater.states_synced[index] = True
        optimizer._set_current_context(ctx.device_id)  # MXNet counts the updates of each device apart
        optimizer._index_update_count.update({int(k): n for k, n in counts["counts"].items()})
    optimizer.num_update = counts["num_update"]


def _as_tuple(state: Any) -> tuple[Any, ...]:
    if state is None:
        return ()
    return tuple(state) if isinstance(state, (list, tuple)) else (state,)


def save_checkpoint(folder: _files.PathLike, arrays: dict[str, Any], info: dict[str, Any]) -> Path:
    """Write a checkpoint; the one before it is whole until the new one is, and then goes.

    Args:
        folder: where; made if missing.
        arrays: nd arrays by name.
        info: plain data; ``info["epoch"]`` tells checkpoints apart.

    Returns:
        the path of its JSON file.
    """
    folder = Path(folder)
    params = folder / f"checkpoint-{info['epoch']:05d}.params"
    with _files.replacing(params) as neighbour:
        nd.save(str(neighbour), arrays)
    _files.write_json(folder / CHECKPOINT, {**info, "params": params.name})
    for old in folder.glob("checkpoint-[0-9][0-9][0-9][0-9][0-9].params"):
        if old != params:
            old.unlink()
    return folder / CHECKPOINT


def load_checkpoint(folder: _files.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the checkpoint of a folder.

    Returns:
        arrays, info: as ``save_checkpoint`` took them.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file of it cannot be read.
    """
    info = read_checkpoint(folder)
    return load_arrays(Path(folder) / info.pop("params")), info


def read_checkpoint(folder: _files.PathLike) -> dict[str, Any]:
    """Read a checkpoint's plain data alone; ``params`` names the file of its arrays.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not a checkpoint's.
    """
    path = Path(folder) / CHECKPOINT
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: no training to resume in this folder")
    info = _files.read_json(path)
    if not (isinstance(info, dict) and isinstance(info.get("params"), str) and isinstance(info.get("epoch"), int)):
        raise ValueError(f"{path} is not a checkpoint: it must name its epoch and its .params file")
    return info


def load_arrays(path: _files.PathLike) -> dict[str, Any]:
    """Read a ``.params`` file of named arrays.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not such a file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        arrays = nd.load(str(path))
    except Exception as error:  # MXNet raises MXNetError, struct or Unicode errors by how the file is broken
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].split(": ", 1)[-1]
        raise ValueError(f"{path} is not a readable .params file ({reason})") from None
    if not isinstance(arrays, dict):
        raise ValueError(f"{path} holds arrays without names: not written by this package")
    return arrays
