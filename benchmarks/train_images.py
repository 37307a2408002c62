"""From images to codes, end to end: a small convolutional network learns what UDHPL finds in the pixels.

    python benchmarks/train_images.py fashion-mnist

`fashion-mnist` is in Debian's package dataset-fashion-mnist; `digits` are those of scikit-learn. The first 1,000 images
(a sixth of fewer) are queries, the others are searched, and learned from without labels. Takes minutes on a CPU.
"""

import time
from typing import Annotated, Literal

import numpy as np
import typer
from torch import nn

from hashkit import evaluation, fit
from hashkit.datasets import Dataset, digits, fashion_mnist
from hashkit.evaluation.comparison import markdown_table, split_dataset
from hashkit.networks import TrainingConfig, encode_images
from hashkit.udhpl import train_image_network


def main(
    data: Annotated[Literal["digits", "fashion-mnist"], typer.Argument(help="Images to learn from.")],
    rows: Annotated[int, typer.Option(help="Use only so many images.")] = 11_000,
    bits: Annotated[int, typer.Option(help="Length of the codes.")] = 32,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = 12,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn.")] = 0,
) -> None:
    """Learn codes from pixels by ITQ, by UDHPL, and by a convolutional network on UDHPL's targets."""
    whole = digits() if data == "digits" else fashion_mnist()
    dataset = Dataset(whole.name, whole.features[:rows], whole.labels[:rows], whole.images[:rows])
    split = split_dataset(dataset)
    images = dataset.images[:, None].astype(np.float32) / 255
    table = []

    def measure(name, start, query_codes, codes):
        scores = [
            evaluation.mean_average_precision(query_codes, codes, split.query_labels, split.labels, k=k).value
            for k in (1000, None)
        ]
        table.append([name, *(f"{score:.3f}" for score in scores), f"{time.perf_counter() - start:.0f}"])

    start = time.perf_counter()
    itq = fit(split.items, n_bits=bits, method="itq", random_state=seed)
    measure("itq on pixels", start, itq.encode(split.queries), itq.encode(split.items))

    start = time.perf_counter()
    udhpl = fit(split.items, n_bits=bits, network="always", random_state=seed)
    measure("udhpl on pixels", start, udhpl.encode(split.queries), udhpl.encode(split.items))

    network = train_image_network(
        convolutional_network(images.shape[2]),
        images[split.item_rows[udhpl.sample_rows_]],
        udhpl.targets_,
        n_bits=bits,
        config=TrainingConfig(n_epochs=epochs, batch_size=128, seed=seed),
        progress=True,
    )
    codes = encode_images(network, images)
    measure("end to end", start, codes[split.query_rows], codes[split.item_rows])
    typer.echo(f"{data}: {len(split.queries):,} queries, {len(split.items):,} images, {bits} bits\n")
    typer.echo(markdown_table(["codes", "mAP@1000", "mAP@all", "seconds"], table))


def convolutional_network(size: int) -> nn.Sequential:
    """Gray images (n, 1, size, size) to features; twice convolved and halved."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (size // 4) ** 2, 256),
        nn.ReLU(),
    )


if __name__ == "__main__":
    typer.run(main)
