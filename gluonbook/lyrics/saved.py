"""A trained model as plain data: NumPy weights, vocabulary, settings, history; and its folder on disk."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gluonbook import _files, _models
from gluonbook._mxnet import nd
from gluonbook.lyrics.vocabulary import Vocabulary

ARCHITECTURE = ("cell", "num_hiddens", "num_layers", "embedding_size", "dropout")


@dataclass(frozen=True)
class TrainedModel:
    """What training returns and generation reads.

    Attributes:
        weights: float32 arrays by the names that ``LanguageModel.save_parameters`` gives them.
        vocabulary: of V tokens.
        settings: the arguments of ``train`` that made it; those of ``ARCHITECTURE`` and ``level`` are always there.
        history: one dict an epoch: ``epoch``, ``train`` and ``held_out`` perplexity (None where nothing was held out),
            ``lr``, ``seconds``.
    """

    weights: dict[str, np.ndarray]
    vocabulary: Vocabulary
    settings: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)

    def kept_epoch(self) -> dict[str, Any]:
        """Return the entry of the history whose weights these are: the last, or the best on the held-out tail."""
        if self.settings["keep"] == "best":
            return min(self.history, key=lambda entry: entry["held_out"])
        return self.history[-1]


def embedded_model() -> Path:
    """Return the folder of the model that ships with the package."""
    return _files.packaged("datasets") / "lyrics" / "model"


def save_model(folder: _files.PathLike, model: TrainedModel) -> Path:
    """Write a model to a folder: ``model.params`` and ``model.json``.

    Returns:
        the path of ``model.json``.
    """
    description = {"settings": model.settings, "history": model.history, "tokens": model.vocabulary.tokens}
    return _models.write(folder, model.weights, description)


def load_model(folder: _files.PathLike) -> TrainedModel:
    """Read a model from its folder.

    Raises:
        FileNotFoundError: there is no model; the message says how to make one.
        ValueError: its files cannot be read, or do not belong together.
    """
    needed, settings = ("history", "tokens"), (*ARCHITECTURE, "level")
    weights, description = _models.read(folder, needed, settings, maker="gluonbook lyrics train")
    vocabulary = Vocabulary.from_tokens(description["tokens"])
    return TrainedModel(weights, vocabulary, description["settings"], description["history"])


def build_net(model: TrainedModel, device: Any) -> Any:
    """Return the Gluon network with the model's weights, on a device."""
    from gluonbook.lyrics.model import LanguageModel

    net = LanguageModel(len(model.vocabulary), **{name: model.settings[name] for name in ARCHITECTURE})
    net.initialize(ctx=device)
    for name, param in net._collect_params_with_prefix().items():
        param.set_data(nd.array(model.weights[name], ctx=device))
    return net
