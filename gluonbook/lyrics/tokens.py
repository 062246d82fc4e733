"""From text to tokens: characters, or words by jieba."""

import contextlib
import logging
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from gluonbook import _check, _files

LEVELS = ("char", "word")


def tokenize(text: str, level: str = "char") -> list[str]:
    """Cut a text into tokens that give it back when joined.

    Args:
        text: any length.
        level: ``"char"`` or ``"word"`` (jieba's accurate mode).

    Returns:
        list of str.

    Raises:
        TypeError: the text is no str.
        ValueError: the level is something else.

    >>> tokenize("不分开", "char")
    ['不', '分', '开']
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    if _check.choice("level", level, LEVELS) == "char":
        return list(text)
    return list(_jieba().cut(text))


@lru_cache(maxsize=1)
def _jieba() -> Any:
    """Return jieba's tokenizer, its dictionary loaded without a word and cached in this package's own folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jieba asks setuptools for pkg_resources, which warns of its end
        import jieba
    jieba.setLogLevel(logging.CRITICAL)  # also for a cache that cannot be written: jieba goes on without one
    tokenizer = jieba.Tokenizer()
    tokenizer.tmp_dir = str(_files.cache_folder())  # never the temporary folder, which may be read-only
    with contextlib.suppress(OSError):
        Path(tokenizer.tmp_dir).mkdir(parents=True, exist_ok=True)
    tokenizer.initialize()
    return tokenizer
