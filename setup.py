"""The package's metadata; the tools' settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "gluonbook" / "__init__.py").read_text(encoding="utf-8"), re.M)[
    1
]

# Folders beside the package that an installed one has inside it: scripts and data, no modules.
CARRIED = ["chapters", "datasets"]

CUDA_11 = [  # what the library of mxnet-cu112 needs, as measured; gluonbook/_mxnet.py opens them
    "nvidia-cuda-runtime-cu11==11.8.89",
    "nvidia-cuda-nvrtc-cu11==11.8.89",
    "nvidia-nvtx-cu11==11.8.86",
    "nvidia-cudnn-cu11==8.9.6.50",
    "nvidia-cublas-cu11==11.11.3.6",
    "nvidia-cufft-cu11==10.9.0.58",
    "nvidia-cusolver-cu11==11.4.1.48",
    "nvidia-curand-cu11==10.3.0.86",
    "nvidia-nccl-cu11==2.21.5",
]
ONNX = ["onnx>=1.13,<1.19", "onnxruntime"]  # what MXNet's exporter writes, later versions refuse
DOCS = [  # the book: Chinese in its search is cut by jieba; prose of the chapters is read by markdown-it
    *("furo", "markdown-it-py>=3", "mdit-py-plugins", "sphinx>=7.4", "sphinx-gallery>=0.17", "sphinx-intl"),
]
D2L = 'd2l==1.0.3; python_version < "3.12"'  # it pins a NumPy that has no build for 3.12

setup(
    name="gluonbook",
    version=VERSION,
    description="Companion package to a reader's deep-learning notes: lyrics, detections, stylised pictures on MXNet",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9,<3.13",
    packages=find_packages(include=["gluonbook", "gluonbook.*"]) + [f"gluonbook.{folder}" for folder in CARRIED],
    package_dir={f"gluonbook.{folder}": folder for folder in CARRIED},
    package_data={
        "gluonbook": ["*.pyi", "*/*.pyi", "py.typed"],
        "gluonbook.chapters": ["*.py"],
        "gluonbook.datasets": ["*.md", "*/*", "*/*/*"],
    },
    exclude_package_data={"gluonbook.datasets": ["*/__pycache__/*"]},
    install_requires=[
        "numpy>=1.20,<2",
        "gluoncv==0.10.5.post0",
        "opencv-python<4.9",  # later ones want NumPy 2
        "matplotlib>=3.7",
        "pillow>=9.1",
        "pyyaml>=5.4",
        "scikit-learn>=1.0",
        "jieba>=0.42.1",
        "click>=8.1",
        "lazy_loader>=0.4",
        "pooch>=1.8",
        "tqdm>=4.60",
        "psutil>=5.9",
        "safetensors>=0.4",
        'setuptools; python_version >= "3.12"',  # MXNet imports distutils, which it provides
    ],
    extras_require={
        "cpu": ["mxnet==1.9.1"],
        "cu112": ["mxnet-cu112==1.9.1", *CUDA_11],
        "d2l": [D2L],
        "onnx": ONNX,
        "bench": ["torch>=2"],
        "docs": DOCS,
        "dev": [
            *("build", "hypothesis", "ipykernel", "mypy", "nbclient", "nbformat", "pytest", "pytest-xdist", "ruff"),
            *("setuptools", "wheel", *ONNX, *DOCS),
            *('axe-core-python; python_version >= "3.10"', "selenium"),  # the book's pages in a browser
        ],
    },
    entry_points={"console_scripts": ["gluonbook = gluonbook.cli:main"]},
    classifiers=[
        "Natural Language :: Chinese (Simplified)",
        "Programming Language :: Python :: 3",
        "Topic :: Education",
    ],
)
