"""The Gluon language model: embedding or one-hot, fused recurrent layers, and a dense layer over the vocabulary.

Letters: ``N`` batch, ``T`` steps, ``V`` vocabulary, ``E`` embedding, ``H`` hidden, ``L`` layers.
"""

import functools
from typing import Any, Optional

from gluonbook import _check, training
from gluonbook._mxnet import gluon, nd

CELLS = ("rnn", "rnn_relu", "gru", "lstm")


class LanguageModel(gluon.HybridBlock):
    """Predict the next token at every step of a batch of token rows.

    Args:
        vocab_size: V, at least 1.
        cell: ``"rnn"`` (tanh), ``"rnn_relu"``, ``"gru"`` or ``"lstm"``.
        num_hiddens: H, at least 1.
        num_layers: L, at least 1.
        embedding_size: E, at least 1; None feeds one-hot vectors of length V, as the notes do.
        dropout: share of the values that training drops after the embedding and after each recurrent layer, from 0 to
            below 1.

    Called with inputs (N, T) int and a state from ``begin_state``, it returns the logits (T, N, V), time first as the
    recurrent layer has them, and the state after the last step.

    >>> model = LanguageModel(vocab_size=5, cell="gru", num_hiddens=8, embedding_size=4)
    >>> model.initialize()
    >>> logits, state = model(nd.zeros((2, 3)), *model.begin_state(2, None))
    >>> logits.shape, state.shape
    ((3, 2, 5), (1, 2, 8))
    """

    def __init__(
        self,
        vocab_size: int,
        cell: str = "gru",
        num_hiddens: int = 256,
        num_layers: int = 1,
        embedding_size: Optional[int] = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.vocab_size = _check.integer("vocab_size", vocab_size, at_least=1)
        num_hiddens = _check.integer("num_hiddens", num_hiddens, at_least=1)
        num_layers = _check.integer("num_layers", num_layers, at_least=1)
        dropout = _check.number("dropout", dropout, at_least=0, below=1)
        layer = {
            "rnn": functools.partial(_LAYERS["RNN"], activation="tanh"),
            "rnn_relu": functools.partial(_LAYERS["RNN"], activation="relu"),
            "gru": _LAYERS["GRU"],
            "lstm": _LAYERS["LSTM"],
        }[_check.choice("cell", cell, CELLS)]
        with self.name_scope():
            if embedding_size is None:
                self.embedding, input_size = None, vocab_size
            else:
                input_size = _check.integer("embedding_size", embedding_size, at_least=1)
                self.embedding = gluon.nn.Embedding(vocab_size, input_size)
            # One fused layer each: inside a fused stack MXNet's CPU operator drops values by C's rand(), which no seed
            # of MXNet's reaches, and a resumed run would differ.
            self.layers = gluon.nn.HybridSequential()
            for i in range(num_layers):
                self.layers.add(layer(hidden_size=num_hiddens, input_size=num_hiddens if i else input_size))
            self.dropout = gluon.nn.Dropout(dropout) if dropout else None  # one of 0 would copy
            self.dense = gluon.nn.Dense(vocab_size, flatten=False, in_units=num_hiddens)

    def hybrid_forward(self, F: Any, inputs: Any, *state: Any) -> Any:
        return self.unroll(F, F.transpose(inputs), *state)

    def unroll(self, F: Any, tokens: Any, *state: Any) -> Any:
        """Return what a call returns, of tokens (T, N)."""
        X = self.embed(F, tokens)  # (T, N, V or E)
        each = len(state) // len(self.layers)
        new_state: list[Any] = []
        for i, layer in enumerate(self.layers):
            H, after = layer(X, list(state[i * each : (i + 1) * each]))  # (T, N, H), [(1, N, H), ...]
            X = self.drop(H)
            new_state += after
        return self.dense(X), *new_state  # (T, N, V)

    def embed(self, F: Any, tokens: Any) -> Any:
        """Return each token's vector: one-hot (…, V), or of the embedding (…, E)."""
        if self.embedding is None:
            return F.one_hot(tokens, depth=self.vocab_size)
        return self.drop(self.embedding(tokens))

    def drop(self, X: Any) -> Any:
        """Return values as training drops some of them."""
        return X if self.dropout is None else self.dropout(X)

    def begin_state(self, batch_size: int, ctx: Any) -> list[Any]:
        """Return the zero state: for each layer one (1, N, H) array, and a second one for an LSTM's cell."""
        return [state for layer in self.layers for state in layer.begin_state(batch_size, func=nd.zeros, ctx=ctx)]


class _Joined:
    """What makes a recurrent layer of Gluon's join its parameters as rows of H numbers.

    The operator takes them as one vector, and MXNet joins vectors, as Gluon has it, five times slower than matrices
    (``benchmarks/RESULTS.md``).
    """

    _hidden_size: int
    _mode: str

    def _forward_kernel(self, F: Any, inputs: Any, states: list[Any], lengths: Any, **params: Any) -> Any:
        H = self._hidden_size
        parts = [params[f"l0_{part}_{kind}"] for kind in ("weight", "bias") for part in ("i2h", "h2h")]
        joined = F.concat(*[part.reshape((-1, H)) for part in parts], dim=0).reshape(-1)
        Y, *states = F.RNN(inputs, joined, *states, state_size=H, num_layers=1, mode=self._mode, state_outputs=True)
        return Y, states


_LAYERS: dict[str, Any] = {name: type(name, (_Joined, getattr(gluon.rnn, name)), {}) for name in ("RNN", "GRU", "LSTM")}


class NextTokenLoss(gluon.HybridBlock):
    """A language model and its mean cross-entropy in one graph, which runs in one call.

    Called with inputs (T, N), labels (T, N), time first, and a state, it returns the loss (1,) and the state after the
    last step.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def hybrid_forward(self, F: Any, inputs: Any, labels: Any, *state: Any) -> Any:
        logits, *state = self.model.unroll(F, inputs, *state)
        logits, labels = logits.reshape((-3, 0)), labels.reshape((-1,))  # (T*N, V), (T*N,)
        return training.mean_cross_entropy(F, logits, labels, self.model.vocab_size), *state
