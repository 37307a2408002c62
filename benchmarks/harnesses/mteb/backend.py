"""hashkit as a search backend of MTEB: any retrieval task, evaluated over hashkit's codes.

    model = mteb.get_model("sentence-transformers/all-MiniLM-L6-v2")
    mteb.evaluate(SearchEncoderWrapper(model, index_backend=HashkitSearchIndex()), task)

It has the three methods of MTEB's IndexEncoderSearchProtocol.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import hashkit
from hashkit.checks import from_tensor

Found = tuple[list[list[float]], list[list[int]]]


class HashkitSearchIndex:
    """Documents in a :class:`hashkit.VectorIndex`, made when the first query comes.

    Parameters
    ----------
    metric : {"cosine", "ip", "l2"}, default="cosine"
        The model's similarity.
    options
        As for :meth:`hashkit.VectorIndex.fit`. By default answers come from one bit a dimension alone; ``recall=0.95,
        keep="float16"`` re-ranks by vectors.
    """

    _blocks: list[NDArray[np.float32]]
    _names: list[str]
    _index: hashkit.VectorIndex | None

    def __init__(self, metric: Literal["cosine", "ip", "l2"] = "cosine", **options: Any) -> None:
        self.metric = metric
        self.options = options or {"recall": None, "keep": "none"}
        self.clear()

    def add_documents(self, embeddings: Any, idxs: Sequence[str]) -> None:
        """Keep documents: rows of an array or tensor, and the name of each."""
        self._blocks.append(_float32(embeddings))
        self._names.extend(idxs)
        self._index = None

    def search(
        self,
        embeddings: Any,
        top_k: int,
        similarity_fn: Callable[..., Any] | None = None,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        query_idx_to_id: Mapping[int, str] | None = None,
    ) -> Found:
        """Similarities, larger is better, and row numbers of the best documents of each query, the best first.

        With `top_ranked` only the documents that it names are ranked, and the numbers are places in its lists.
        """
        queries = _float32(embeddings)
        if top_ranked is None:
            scores, ids = self._fitted().query(queries, min(top_k, len(self._names)))
            return (self._sign * scores).tolist(), ids.tolist()
        if query_idx_to_id is None:
            raise ValueError("query_idx_to_id must be given with top_ranked")
        rows = {name: row for row, name in enumerate(self._names)}
        answers = [
            self._rank(query, top_k, [rows[name] for name in top_ranked[query_idx_to_id[number]]])
            for number, query in enumerate(queries)
        ]
        return [scores for scores, _ in answers], [places for _, places in answers]

    def clear(self) -> None:
        """Forget all documents."""
        self._blocks = []
        self._names = []
        self._index = None

    @property
    def _sign(self) -> int:
        return -1 if self.metric == "l2" else 1

    def _fitted(self) -> hashkit.VectorIndex:
        if self._index is None:
            if not self._blocks:
                raise ValueError("there are no documents: add_documents comes before search")
            self._index = hashkit.VectorIndex.fit(np.concatenate(self._blocks), metric=self.metric, **self.options)
        return self._index

    def _rank(self, query: NDArray[np.float32], top_k: int, rows: list[int]) -> tuple[list[float], list[int]]:
        places = {row: place for place, row in enumerate(rows)}
        if not places:
            return [], []
        allowed = np.array(sorted(places), np.int64)
        scores, ids = self._fitted().query(query, min(top_k, len(allowed)), filter=allowed)
        return (self._sign * scores).tolist(), [places[row] for row in ids.tolist()]


def _float32(embeddings: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(from_tensor(embeddings, "embeddings"), np.float32)
