"""Run BitBudget over vectors of one's own, with hashkit's entries beside its own.

    python run.py VECTORS.npz [--documents 20000] [--queries 200]

VECTORS.npz holds `vectors` and `queries`, or `vectors` alone, whose first rows are then the queries. What is relevant
to a query are its 10 nearest documents by inner product, as no judgments come with such a file.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import entries  # noqa: F401  registers hashkit's rows
import numpy as np
from bitbudget import METHODS, bench_indexes, evaluate
from numpy.typing import NDArray

N_RELEVANT = 10
LONG = ("pq", "pca")
"""Minutes at a thousand dimensions."""


def read_vectors(path: Path, n_documents: int, n_queries: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Documents and queries, float32, rows of length 1."""
    with np.load(path) as arrays:
        vectors = arrays["vectors"]
        queries = arrays["queries"][:n_queries] if "queries" in arrays else vectors[:n_queries]
        documents = vectors[:n_documents] if "queries" in arrays else vectors[n_queries : n_queries + n_documents]
    long = (rows.astype(np.float32) for rows in (documents, queries))
    documents, queries = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in long)
    return documents, queries


def by_method(documents: NDArray[np.float32], queries: NDArray[np.float32]) -> list[dict[str, Any]]:
    """BitBudget's rows: method, bytes, ndcg, recall."""
    nearest = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :N_RELEVANT]
    relevant = {str(query): {str(document): 1 for document in found} for query, found in enumerate(nearest)}
    document_names, query_names = ([str(i) for i in range(len(rows))] for rows in (documents, queries))
    chosen = [name for name in METHODS if name not in LONG]
    rows: list[dict[str, Any]] = evaluate(documents, queries, document_names, query_names, relevant, chosen)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200)
    args = parser.parse_args()
    documents, queries = read_vectors(args.vectors, args.documents, args.queries)
    lines = ["| method | bytes a vector | recall@10 | nDCG@10 |", "|---|---:|---:|---:|"]
    for row in by_method(documents, queries):
        lines.append(f"| {row['method']} | {row['bytes']:.0f} | {row['recall']:.3f} | {row['ndcg']:.3f} |")
    lines += ["", "| index | bytes a vector | recall@10 | queries a second |", "|---|---:|---:|---:|"]
    for row in bench_indexes(documents, queries, k=10, verbose=False):
        lines.append(f"| {row['method']} | {row['bytes']:.0f} | {row['recall']:.3f} | {row['qps']:,.0f} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
