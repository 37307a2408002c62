"""Image networks: EfficientNet-Lite0, whose weights are in a package so that nothing is downloaded, or any other.

The one module of this room that imports torch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hashkit.extras import install_line
from hashkit.images.lite0 import scaled, weights_file


def scale_pixels(image: Image.Image) -> torch.Tensor:
    """Prepare a picture for EfficientNet-Lite0, see :func:`hashkit.images.lite0.scaled`.

    Returns
    -------
    torch.Tensor of float32, shape (3, 224, 224), channels last in memory
    """
    return torch.from_numpy(scaled(image)).permute(2, 0, 1)


class EfficientNetFeatures(nn.Module):
    """The network up to its global average pooling: (n, 3, 224, 224) to (n, 1280).

    Batch normalization and even padding are folded into the convolutions and channels lie last in memory, which makes
    it several times faster on a CPU and changes the features by rounding only.

    Raises
    ------
    ImportError
        If the packages are not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        weights = weights_file()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ImportError(f"efficientnet-lite0 needs more packages: {install_line('images')}") from error
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        _fold_batch_norms(network.eval())
        _simplify(network)
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return features of a batch of pictures that :func:`scale_pixels` prepared."""
        maps: torch.Tensor = self.network.extract_features(batch.contiguous(memory_format=torch.channels_last))
        return maps.mean((2, 3))


def _fold_batch_norms(network: Any) -> None:
    def fold(module: Any, convolution: str, batch_norm: str) -> None:
        fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, batch_norm))
        setattr(module, convolution, fused)
        setattr(module, batch_norm, nn.Identity())

    fold(network, "_conv_stem", "_bn0")
    fold(network, "_conv_head", "_bn1")
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):
            fold(block, "_expand_conv", "_bn0")
        fold(block, "_depthwise_conv", "_bn1")
        fold(block, "_project_conv", "_bn2")


def _simplify(network: nn.Module) -> None:
    """Clip in place, and use the padding of the convolutions where both sides are padded equally."""
    for module in network.modules():
        padding = getattr(module, "static_padding", None)
        if isinstance(module, nn.ReLU6):
            module.inplace = True
        elif isinstance(module, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d) and len(set(padding.padding)) == 1:
            module.padding = (padding.padding[0],) * 2
            module.static_padding = nn.Identity()


def resolve_device(device: str) -> str:
    """Return the device; ``"auto"`` is CUDA if there is one, else the CPU."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else str(torch.device(device))


def runner(network: nn.Module, device: str, *, alone: bool) -> Callable[[list[torch.Tensor]], NDArray[np.float32]]:
    """Return a function from prepared pictures to rows, one picture or one batch at a time."""
    network = network.to(device).eval()
    lock = threading.Lock()

    def forward(batch: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            rows: NDArray[np.float32] = network(batch.to(device)).flatten(1).float().cpu().numpy()
        return rows

    def run(prepared: list[torch.Tensor]) -> NDArray[np.float32]:
        if alone:
            return np.concatenate([forward(one[None]) for one in prepared])
        with lock:
            return forward(torch.stack(prepared))

    return run


def use_one_thread(pool: ThreadPoolExecutor, n_threads: int) -> None:
    """Let torch use one thread inside each of a pool's `n_threads` threads, and as many as before elsewhere."""
    # torch.set_num_threads acts on the calling thread, and on threads that start later: set back at once.
    before = torch.get_num_threads()
    all_are_set = threading.Barrier(n_threads)

    def use_one() -> None:
        torch.set_num_threads(1)
        all_are_set.wait()

    for done in [pool.submit(use_one) for _ in range(n_threads)]:
        done.result()
    torch.set_num_threads(before)
