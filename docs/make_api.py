"""Write ``docs/api.md``: every public name of the package, by purpose, in the order in which a reader meets them.

    python docs/make_api.py

A test holds the page against what this script would write.
"""

import importlib
import inspect
import re
import textwrap
import types
from pathlib import Path

import gluonbook as gb
from gluonbook import _files

PAGE = Path(__file__).resolve().parent / "api.md"
WIDTH = 100
HEAD = """# The public names

Made by `docs/make_api.py` from the docstrings; `help(gb.NAME)` shows the whole of each. N is the batch size, `nd` an
array of MXNet's. Names that carry a † are those of gluonbook 0.8, with its signatures, results and printed lines.
"""
SECTIONS = {
    "Devices, time, files 设备": "device try_gpu try_all_gpus Benchmark mkdir_if_not_exist",
    "Linear regression and small operations 线性回归": "linreg squared_loss sgd corr2d",
    "Data in batches 小批量": "data_iter get_data_ch7 load_data_fashion_mnist get_fashion_mnist_labels",
    "Training and accuracy 训练": "train_ch3 train_ch5 train evaluate_accuracy",
    "Optimisers 优化算法": "train_2d show_trace_2d train_ch7 train_gluon_ch7",
    "Networks 网络": "Residual resnet18 RNNModel LanguageModel",
    "Lyrics from a recurrent network 循环神经网络": "load_data_jay_lyrics load_data_time_machine Vocabulary to_onehot "
    "data_iter_random data_iter_consecutive batches_random batches_adjacent grad_clipping clip_gradients perplexity "
    "predict_rnn train_and_predict_rnn predict_rnn_gluon train_and_predict_rnn_gluon",
    "Sentiment of texts 文本情感分类": "download_imdb read_imdb get_tokenized_imdb count_tokens get_vocab_imdb "
    "preprocess_imdb predict_sentiment",
    "Detection 目标检测": "load_data_pikachu multibox_prior multibox_target multibox_detection iou nms bbox_to_rect "
    "show_bboxes",
    "Semantic segmentation 语义分割": "VOC_CLASSES VOC_COLORMAP download_voc_pascal read_voc_images voc_label_indices "
    "voc_rand_crop VOCSegDataset",
    "Style transfer 样式迁移": "stylize",
    "Figures 作图": "use_svg_display set_figsize semilogy show_images show_fashion_mnist",
    "Parts of the package 子模块": "chapter data detection distributed lyrics models plot scratch search style "
    "training utils weights",
    "Other modules 其他模块": "autograd collections display gdata gloss gluon gutils image init math mx nd nn np os "
    "plt random sys tarfile text time zipfile",
}
CONSTANTS = {
    "VOC_CLASSES": "The 21 classes of Pascal VOC 2012 by index, a list of str; 0 is the background.",
    "VOC_COLORMAP": "The colour of each class in label pictures, a list of [R, G, B], 0 to 255.",
}
OWN = {  # the others are those of gluonbook 0.8
    *("device", "LanguageModel", "Vocabulary", "batches_random", "batches_adjacent", "clip_gradients", "perplexity"),
    *("multibox_prior", "multibox_target", "multibox_detection", "iou", "nms", "stylize"),
    *("chapter", "data", "detection", "distributed", "lyrics", "models", "plot", "scratch", "search", "style"),
    *("training", "weights"),
}


def page() -> str:
    """Return the page.

    Raises:
        ValueError: the sections and the public names differ.
    """
    listed = [name for names in SECTIONS.values() for name in names.split()]
    if sorted(listed) != sorted(gb.__all__):
        odd = sorted(set(listed) ^ set(gb.__all__)) or [name for name in listed if listed.count(name) > 1]
        raise ValueError(f"sections and public names differ: {', '.join(odd)}")
    parts = [HEAD, "\n".join(f"- [{title}](#{anchor(title)})" for title in SECTIONS) + "\n"]
    for title, names in SECTIONS.items():
        parts += [f"## {title}\n", *(entry(name) for name in names.split())]
    return "\n".join(parts).rstrip() + "\n"


def anchor(title: str) -> str:
    """Return the address of a heading, as hosts of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def entry(name: str) -> str:
    """Return a name's part of the page: what it takes, what it does, an example."""
    mark = "" if name in OWN else " †"
    if name in CONSTANTS:
        return f"### `{name}`{mark}\n\n{CONSTANTS[name]}\n"
    found = getattr(gb, name)
    if isinstance(found, types.ModuleType):
        return module_entry(name, found, mark)
    text = f"{signature(name, found)}\n\n{example(inspect.getdoc(found) or '')}"
    return f"### `{name}`{mark}\n\n{summary(found)}\n\n```python\n{text}\n```\n"


def module_entry(name: str, module: types.ModuleType, mark: str) -> str:
    """Return a module's part: where it is the package's own, its public names but for those above."""
    if not module.__name__.startswith("gluonbook."):
        return f"- `{name}`{mark}: `{module.__name__}`"
    lines = [f"### `{name}`{mark}\n", f"{summary(module)}\n"]
    if name == "utils":
        return "\n".join(lines)
    for own in [own for own in public(module) if getattr(module, own) is not getattr(gb, own, None)]:
        found = getattr(module, own)
        told = "a constant." if isinstance(found, (str, tuple, dict)) else summary(found)
        lines.append(f"- `{name}.{own}`: {told}")
    return "\n".join(lines) + "\n"


def public(module: types.ModuleType) -> list[str]:
    """Return the public names of one of the package's modules."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    made_here = (n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__)
    return [name for name in made_here if not name.startswith("_")]


def signature(name: str, found: object) -> str:
    """Return how a name is called, with the defaults, folded to the page's width."""
    parameters = inspect.signature(found).parameters.values()  # type: ignore[arg-type]
    words = [str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in parameters]
    words = [re.sub(r"<.*>", "…", word).replace(" ", "\0") for word in words]  # no fold inside a default
    if any(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters):
        words.insert([p.kind for p in parameters].index(inspect.Parameter.KEYWORD_ONLY), "*")
    indent = " " * (len(name) + 1)
    folded = textwrap.fill(f"{name}({', '.join(words)})", WIDTH, subsequent_indent=indent, break_long_words=False)
    return folded.replace("\0", " ")


def summary(found: object) -> str:
    """Return the first sentence of a docstring."""
    return " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split()).replace("``", "`")


def example(text: str) -> str:
    """Return the examples of a docstring, without the directives for doctest."""
    block = text[text.index(">>> ") :].split("\n\n")[0]
    lines = (re.sub(r"\s*# doctest:.*", "", line) for line in block.splitlines())
    return "\n".join(line for line in lines if line.strip() != "...")


if __name__ == "__main__":
    importlib.import_module("matplotlib").use("agg")
    _files.write_text(PAGE, page())
    print(PAGE)
