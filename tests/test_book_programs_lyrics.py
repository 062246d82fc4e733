"""The lyrics as a reader of the book writes them: whole programs on a song that repeats itself.

Bounds: with the seeds 0, 1 and 2 the last perplexity was at most 1.0001 of consecutive batches, and 1.09 of random
ones, whose first characters have nothing before them; the sample was right each time.
"""

import re

import pytest

import gluonbook as gb

REFRAIN = "分开就分开，不分开也罢。"  # what follows 开 depends on what was three characters before
SONG = REFRAIN * 30
IDX_TO_CHAR = sorted(set(SONG))
CHAR_TO_IDX = {char: i for i, char in enumerate(IDX_TO_CHAR)}
CORPUS_INDICES = [CHAR_TO_IDX[char] for char in SONG]
V = len(IDX_TO_CHAR)
LINE = r"epoch (\d+), perplexity (\d+\.\d{6}), time \d+\.\d{2} sec"
SEED = 0


def printed(out):
    """The epochs, the perplexities and the samples of a program's output, which holds nothing else."""
    lines = out.splitlines()
    matches = [re.fullmatch(LINE, line) for line in lines[::3]]
    assert all(matches), out
    assert all(line.startswith(" - ") for i, line in enumerate(lines) if i % 3), out
    epochs, perplexities = [int(match[1]) for match in matches], [float(match[2]) for match in matches]
    return epochs, perplexities, [[lines[i + 1][3:], lines[i + 2][3:]] for i in range(0, len(lines), 3)]


def check(out, bound, num_epochs):
    epochs, perplexities, samples = printed(out)
    assert epochs == [num_epochs // 2, num_epochs]
    assert perplexities[1] < bound
    for prefix, sample in zip(("分开就", "不分开"), samples[-1]):
        assert sample.startswith(prefix)
        assert len(sample) == len(prefix) + 2 * len(REFRAIN)
        assert sample in SONG  # it recites


@pytest.mark.parametrize(("is_random_iter", "bound"), [(False, 1.001), (True, 1.2)])
def test_an_rnn_written_out_recites_the_refrain(capsys, is_random_iter, bound):
    """The book's section 6.4."""
    nd, ctx, num_hiddens, num_epochs = gb.nd, gb.try_gpu(), 32, 40
    gb.random.seed(SEED)
    gb.mx.random.seed(SEED)

    def get_params():
        def _one(shape):
            return nd.random.normal(scale=0.01, shape=shape, ctx=ctx)

        W_xh = _one((V, num_hiddens))
        W_hh = _one((num_hiddens, num_hiddens))
        b_h = nd.zeros(num_hiddens, ctx=ctx)
        W_hq = _one((num_hiddens, V))
        b_q = nd.zeros(V, ctx=ctx)
        params = [W_xh, W_hh, b_h, W_hq, b_q]
        for param in params:
            param.attach_grad()
        return params

    def init_rnn_state(batch_size, num_hiddens, ctx):
        return (nd.zeros(shape=(batch_size, num_hiddens), ctx=ctx),)

    def rnn(inputs, state, params):
        W_xh, W_hh, b_h, W_hq, b_q = params
        (H,) = state
        outputs = []
        for X in inputs:
            H = nd.tanh(nd.dot(X, W_xh) + nd.dot(H, W_hh) + b_h)
            Y = nd.dot(H, W_hq) + b_q
            outputs.append(Y)
        return outputs, (H,)

    num_steps, lr, clipping_theta, batch_size = 11, 1e2, 1e-2, 4
    pred_period, pred_len, prefixes = num_epochs // 2, 2 * len(REFRAIN), ["分开就", "不分开"]
    gb.train_and_predict_rnn(
        rnn, get_params, init_rnn_state, num_hiddens, V, ctx, CORPUS_INDICES, IDX_TO_CHAR, CHAR_TO_IDX, is_random_iter,
        num_epochs, num_steps, lr, clipping_theta, batch_size, pred_period, pred_len, prefixes,
    )  # fmt: skip
    check(capsys.readouterr().out, bound, num_epochs)


@pytest.mark.parametrize("layer", ["RNN", "GRU", "LSTM"])
def test_a_layer_of_gluon_recites_the_refrain(capsys, layer):
    """The book's sections 6.5, 6.7 and 6.8."""
    ctx, num_hiddens, num_epochs = gb.try_gpu(), 32, 40
    gb.mx.random.seed(SEED)
    rnn_layer = getattr(gb.gluon.rnn, layer)(num_hiddens)
    model = gb.RNNModel(rnn_layer, V)
    num_steps, lr, clipping_theta, batch_size = 11, 1e2, 1e-2, 4
    pred_period, pred_len, prefixes = num_epochs // 2, 2 * len(REFRAIN), ["分开就", "不分开"]
    gb.train_and_predict_rnn_gluon(
        model, num_hiddens, V, ctx, CORPUS_INDICES, IDX_TO_CHAR, CHAR_TO_IDX, num_epochs, num_steps, lr,
        clipping_theta, batch_size, pred_period, pred_len, prefixes,
    )  # fmt: skip
    check(capsys.readouterr().out, 1.001, num_epochs)
