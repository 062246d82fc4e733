"""The notes' recurrent language model around a Gluon layer."""

from typing import Any

from gluonbook import _check
from gluonbook._mxnet import gluon, nd


class RNNModel(gluon.nn.Block):
    """A language model: one-hot vectors, a recurrent layer, a dense layer over the vocabulary.

    ``gluonbook.LanguageModel`` is the package's own, with embeddings, several layers and dropout, and hybridized.

    Args:
        rnn_layer: of ``gluon.rnn``, layout TNC.
        vocab_size: V, at least 1.
        kwargs: ``prefix`` and ``params``, as every Gluon block has.

    Called with inputs (N, T) of indices and a state from ``begin_state``, it returns the logits (T*N, V), time first,
    and the state after the last step. The children are ``rnn`` and ``dense``.

    >>> model = RNNModel(gluon.rnn.RNN(8), vocab_size=5)
    >>> model.initialize()
    >>> output, state = model(nd.zeros((2, 3)), model.begin_state(batch_size=2))
    >>> output.shape, state[0].shape
    ((6, 5), (1, 2, 8))
    """

    def __init__(self, rnn_layer: Any, vocab_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocab_size = _check.integer("vocab_size", vocab_size, at_least=1)
        self.rnn = rnn_layer
        self.dense = gluon.nn.Dense(vocab_size)

    def forward(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        if inputs.ndim != 2:
            raise ValueError(f"inputs must be (N, T), got shape {inputs.shape}")
        H, state = self.rnn(nd.one_hot(inputs.T, self.vocab_size), state)  # (T, N, H)
        return self.dense(H.reshape((-1, H.shape[-1]))), state  # (T*N, V)

    def begin_state(self, *args: Any, **kwargs: Any) -> Any:
        """Return the layer's zero state; takes what its ``begin_state`` takes: ``batch_size``, ``ctx``."""
        return self.rnn.begin_state(*args, **kwargs)
