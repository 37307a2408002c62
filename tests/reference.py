"""The slow, obvious twins of what hashkit does fast."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np


def hamming_distances(a, b):
    """(n_a, n_b) by unpacking every bit."""
    left, right = np.unpackbits(a, axis=1), np.unpackbits(b, axis=1)
    return np.array([(row != right).sum(axis=1) for row in left], dtype=np.uint16).reshape(len(a), len(b))


def k_nearest(codes, queries, k, ids=None):
    """Distances and ids of the k nearest by (distance, id), by sorting everything."""
    ids = np.arange(len(codes)) if ids is None else ids
    k = min(k, len(codes))
    distances = hamming_distances(queries, codes).astype(np.int32)
    orders = [np.lexsort((ids, row))[:k] for row in distances]
    found = np.array([row[order] for row, order in zip(distances, orders, strict=True)], np.int32)
    ids = np.array([ids[order] for order in orders], np.int64)
    return found.reshape(len(queries), k), ids.reshape(len(queries), k)


def within_radius(codes, queries, radius, ids=None):
    """A list of (distances, ids), one for each query, by (distance, id)."""
    ids = np.arange(len(codes)) if ids is None else ids
    found = []
    for row in hamming_distances(queries, codes).astype(np.int32):
        order = np.lexsort((ids, row))
        order = order[row[order] <= radius]
        found.append((row[order], ids[order]))
    return found


def jaccard_distances(queries, codes):
    """A list of fractions for each query, from codes as numbers of many bits."""

    def distance(a, b):
        return 1 - Fraction((a & b).bit_count(), (a | b).bit_count()) if a | b else Fraction(0)

    stored = [int.from_bytes(code.tobytes(), "big") for code in codes]
    return [[distance(int.from_bytes(query.tobytes(), "big"), code) for code in stored] for query in queries]


def jaccard_order(codes, queries, ids=None):
    """For each query every (fraction, id), by that."""
    ids = range(len(codes)) if ids is None else ids
    return [sorted(zip(row, map(int, ids), strict=True)) for row in jaccard_distances(queries, codes)]


def orders(distances):
    """Every ranking by distance: one for each order of the items, which decides ties."""
    for order in permutations(range(len(distances))):
        yield sorted(order, key=lambda item: distances[item])


def average_precision(flags, n_relevant, k, denominator):
    """Average precision over the first k of a ranking, from its definition."""
    precisions = [sum(flags[: rank + 1]) / (rank + 1) for rank in range(min(k, len(flags))) if flags[rank]]
    divisor = len(precisions) if denominator == "relevant_in_first_k" else n_relevant
    return sum(precisions) / divisor if divisor else 0.0


def mean_over_rankings(metric, distances, relevant, ties):
    """The metric of the relevance flags in ranked order; ties by id, or the mean over all of their orders."""
    rankings = [sorted(range(len(distances)), key=lambda item: (distances[item], item))]
    if ties == "expectation":
        rankings = orders(distances)
    return float(np.mean([metric([relevant[item] for item in ranking]) for ranking in rankings]))


def nearest_by_cosine(query, features, n_neighbors):
    """Row numbers of the most similar rows, in float64."""

    def cosine(row):
        lengths = np.linalg.norm(query) * np.linalg.norm(row)
        return query @ row / lengths if lengths else 0.0

    similarities = [cosine(row) for row in features]
    return sorted(range(len(features)), key=lambda row: (-similarities[row], row))[:n_neighbors]


def merge_lists(lists):
    """(distances, ids) of all lists of the same, by (distance, id)."""
    distances = np.concatenate([distances for distances, _ in lists])
    ids = np.concatenate([ids for _, ids in lists])
    order = np.lexsort((ids, distances))
    return distances[order], ids[order]


def pairs_within(left, right, radius, left_ids=None, right_ids=None):
    """(left ids, right ids, distances) by (left id, right id); of `left` with itself if `right` is None."""
    itself = right is None
    right, right_ids = (left, left_ids) if itself else (right, right_ids)
    left_ids = range(len(left)) if left_ids is None else left_ids
    right_ids = range(len(right)) if right_ids is None else right_ids
    distances = hamming_distances(left, right)
    found = sorted(
        (int(a), int(b), int(distances[i, j]))
        for i, a in enumerate(left_ids)
        for j, b in enumerate(right_ids)
        if distances[i, j] <= radius and (a < b or not itself)
    )
    columns = np.array(found, np.int64).reshape(-1, 3).T
    return columns[0], columns[1], columns[2].astype(np.int32)


MEASURES = {"jaccard": (1, 1), "dice": (Fraction(1, 2), Fraction(1, 2)), "containment": (1, 0)}


def tversky_distances(left, right, weights, itself):
    """Fractions, shape (n_left, n_right); of a set with itself the smaller one of a pair in its two orders."""

    def distance(a, b):
        common, only_a, only_b = len(a & b), len(a - b), len(b - a)
        if not common:
            return Fraction(bool(a or b))
        different = alpha * only_a + beta * only_b
        return Fraction(different) / (common + different)

    alpha, beta = (Fraction(weight).limit_denominator(1000) for weight in weights)
    lefts, rights = ([set(np.flatnonzero(np.unpackbits(code))) for code in codes] for codes in (left, right))
    return [[min(distance(a, b), distance(b, a)) if itself else distance(a, b) for b in rights] for a in lefts]


def jaccard_near(left, right, radius=None, similarity=None, measure=None, itself=False):
    """(distances float64, which pairs are near), each (n_left, n_right); rounded once, from fractions."""
    if measure is None:
        fractions = jaccard_distances(left, right)
    else:
        fractions = tversky_distances(left, right, MEASURES.get(measure, measure), itself)
    distances = np.array([[float(fraction) for fraction in row] for row in fractions]).reshape(len(left), len(right))
    if similarity is None:
        return distances, distances <= radius
    similarities = np.array([[float(1 - fraction) for fraction in row] for row in fractions])
    return distances, similarities.reshape(distances.shape) >= similarity


def jaccard_pairs(left, right, left_ids=None, right_ids=None, **limit):
    """(left ids, right ids, distances) by (left id, right id); of `left` with itself if `right` is None."""
    itself = right is None
    right, right_ids = (left, left_ids) if itself else (right, right_ids)
    left_ids = np.arange(len(left)) if left_ids is None else left_ids
    right_ids = np.arange(len(right)) if right_ids is None else right_ids
    distances, near = jaccard_near(left, right, itself=itself, **limit)
    if itself:
        near = near & (left_ids[:, None] < right_ids)
    rows, others = np.nonzero(near)
    order = np.lexsort((right_ids[others], left_ids[rows]))
    rows, others = rows[order], others[order]
    return left_ids[rows], right_ids[others], distances[rows, others]


def groups(codes, radius, ids=None):
    """For each code, ascending by id, the smallest id that it is connected with, by flooding."""
    return flood(hamming_distances(codes, codes) <= radius, ids)


def jaccard_groups(codes, ids=None, **limit):
    """The same by Jaccard distance."""
    return flood(jaccard_near(codes, codes, itself=True, **limit)[1], ids)


def flood(near, ids=None):
    """Labels of the rows that a matrix of who is near connects, ascending by id."""
    ids = np.arange(len(near)) if ids is None else np.asarray(ids)
    order = np.argsort(ids)
    near = near[order][:, order]
    labels = np.full(len(near), -1)
    for first in range(len(near)):
        wave = [first] if labels[first] < 0 else []
        while wave:
            row = wave.pop()
            labels[row] = first
            wave += np.flatnonzero(near[row] & (labels < 0)).tolist()
    return np.sort(ids)[labels] if len(ids) else np.empty(0, np.int64)


class CellsTwin:
    """Search of cells as csrc/far/search.hpp says. A cell has the codes whose nearest centroid is its own."""

    def __init__(self, codes, centroids):
        self.codes, self.centroids = codes, centroids
        self.cell_of = hamming_distances(codes, centroids).argmin(axis=1)

    def k_nearest(self, query, k, twice_slack, sketch_limits, sketches, pending):
        """Rows by (distance, row), cells read, and codes compared: `pending` at a time, k at most until k are known, or
        (0) those of one cell.

        With `sketches`, those of the codes, the query and the centroids, only codes within the limit of theirs are
        compared, in the first four cells in their order.
        """
        to_centroids = hamming_distances(query[None], self.centroids)[0].astype(int)
        distances = hamming_distances(query[None], self.codes)[0].astype(int)
        found, waiting, n_cells, n_compared = [], [], 0, 0

        def limit():
            return sorted(found)[k - 1][0] if len(found) >= k else 8 * self.codes.shape[1]

        def compare_if(enough):
            nonlocal found, waiting, n_compared
            if len(waiting) >= enough:
                n_compared += len(waiting)
                found, waiting = found + waiting, []

        to_sketches = None if sketches is None else hamming_distances(sketches[1:2], sketches[2])[0]
        order = self._order(to_centroids, to_sketches)
        for number, cell in enumerate(order):
            if len(found) >= k and 2 * to_centroids[cell] > to_centroids[order[0]] + limit() + twice_slack:
                break
            n_cells += 1
            rows = np.flatnonzero(self.cell_of == cell)
            if sketches is not None:
                of_sketches = hamming_distances(sketches[1:2], sketches[0][rows])[0].astype(int)
                near = of_sketches <= sketch_limits[limit()]
                of_sketches, rows = of_sketches[near], rows[near]
                if number < 4:
                    for of_sketch, row in sorted(zip(of_sketches, rows, strict=True)):
                        if of_sketch > sketch_limits[limit()]:
                            break
                        waiting.append((int(distances[row]), int(row)))
                        compare_if(pending if len(found) >= k else min(k, pending))
                    continue
            waiting += zip(distances[rows].tolist(), rows.tolist(), strict=True)
            compare_if(pending if len(found) >= k else min(k, pending))
        compare_if(0)
        return [row for _, row in sorted(found)[:k]], n_cells, n_compared

    def _order(self, to_centroids, to_sketches):
        """Cells by (distance, cell): first those with the nearest sketches of centroids, how many a sample decides."""
        n, enough = len(to_centroids), len(to_centroids) // 16 + 64
        near = np.ones(n, bool)
        if to_sketches is not None and 2 * enough <= n:
            limit = 0
            sample = to_sketches[::32]
            while 32 * np.count_nonzero(sample <= limit) < min(enough, 32 * len(sample)):
                limit += 1
            near = to_sketches <= limit
        return sorted(range(n), key=lambda c: (not near[c], to_centroids[c], c))


class BoundsTwin:
    """Bounds of distances as csrc/far/bounds.hpp says; lists have an array for each cell."""

    def __init__(self, codes, centroids, n_sketched):
        self.codes = np.unpackbits(codes, axis=1).astype(int)
        self.centroids = np.unpackbits(centroids, axis=1).astype(int)
        cell_of = hamming_distances(codes, centroids).argmin(axis=1)
        self.places, self.rows, self.distances, self.rests = [], [], [], []
        for cell, centroid in enumerate(self.centroids):
            rows = np.flatnonzero(cell_of == cell)
            differ = self.codes[rows] != centroid
            rows, differ = rows[np.argsort(differ.sum(axis=1), kind="stable")], differ.sum(axis=0)
            self.places.append(np.sort(np.argsort(-differ, kind="stable")[:n_sketched]))
            self.rows.append(rows)
            self.distances.append((self.codes[rows] != centroid).sum(axis=1))
            self.rests.append((self._rest(self.codes[rows], cell) != self._rest(centroid, cell)).sum(axis=1))

    def _rest(self, bits, cell):
        return np.delete(bits, self.places[cell], axis=-1)

    def lower_bounds(self, query):
        """By row, a distance that the code's own is at least."""
        query, least = np.unpackbits(query).astype(int), np.empty(len(self.codes), int)
        for cell, (places, rows, rests) in enumerate(zip(self.places, self.rows, self.rests, strict=True)):
            sketched = (self.codes[rows][:, places] != query[places]).sum(axis=1)
            rest = (self._rest(query, cell) != self._rest(self.centroids[cell], cell)).sum()
            least[rows] = sketched + abs(rest - rests)
        return least


def add_in_lanes(products):
    """The sum of float32 values in the order of csrc/kernels/vector_kernels.hpp: 32 lanes, then halves of them."""
    lanes = np.zeros(32, np.float32)
    for chunk in np.pad(products, (0, -len(products) % 32)).reshape(-1, 32):
        lanes = lanes + chunk
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


def vector_score(query, row, metric):
    """Of float32 values, in float32."""
    if metric == "l2":
        return np.sqrt(add_in_lanes((query - row) ** 2))
    product = add_in_lanes(query * row)
    if metric == "ip":
        return product
    squares = add_in_lanes(row * row), add_in_lanes(query * query)
    return product / (np.sqrt(squares[0]) * np.sqrt(squares[1])) if min(squares) > 0 else np.float32(0)


def rescore(queries, rows, candidates, k, metric):
    """A list of (score, id) for each query, by that, the best first; candidates of -1 are passed over."""
    answers = []
    for query, own in zip(queries, candidates, strict=True):
        scored = [(vector_score(query, rows[row], metric), int(row)) for row in sorted(set(own.tolist()) - {-1})]
        answers.append(sorted(scored, key=lambda pair: (pair[0] if metric == "l2" else -pair[0], pair[1]))[:k])
    return answers


def query_planes(values, n_planes):
    """Odd integers and the step of one query's values: the nearest odd multiples of it."""
    most = 2**n_planes - 1
    step = np.float32(np.abs(values).max() / np.float32(most))
    if step == 0:
        return np.full(len(values), -most), step
    return np.clip(2 * np.floor(values / (2 * step)) + 1, -most, most).astype(int), step


def plane_scores(codes, n_bits, factors, integers, step):
    """offset + factor * (step * sum of signs times integers) of every code, rounded to float32 at each operation."""
    signs = 2 * np.unpackbits(codes, axis=1, count=n_bits).astype(int) - 1
    return factors[:, 0] + factors[:, 1] * (np.float32(step) * (signs @ integers).astype(np.float32))


def xxh64(data):
    """XXH64 with seed 0 of bytes whose number is a multiple of 32 (Collet)."""
    p1, p2, p3, p4 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63
    low = 2**64 - 1

    def rotate(value, n):
        return (value << n | value >> (64 - n)) & low

    def mix(lane, word):
        return rotate((lane + word * p2) & low, 31) * p1 & low

    lanes = [(p1 + p2) & low, p2, 0, -p1 & low]
    for at in range(0, len(data), 8):
        lanes[at // 8 % 4] = mix(lanes[at // 8 % 4], int.from_bytes(data[at : at + 8], "little"))
    total = sum(rotate(lane, n) for lane, n in zip(lanes, (1, 7, 12, 18), strict=True)) & low
    for lane in lanes:
        total = ((total ^ mix(0, lane)) * p1 + p4) & low
    total = (total + len(data)) & low
    total = (total ^ total >> 33) * p2 & low
    total = (total ^ total >> 29) * p3 & low
    return total ^ total >> 32


def rotate(values, signs):
    """The rotation of csrc/kernels/rotation.inl, in float32: signs are the packed bits of its four rounds."""
    values, n = np.array(values, np.float32), len(values)
    window = 1 << (n.bit_length() - 1)
    scale = np.float32(1) / np.sqrt(np.float32(window))
    for number, bits in enumerate(np.unpackbits(signs, axis=1, count=n)):
        begin = 0 if number % 2 == 0 else n - window
        factors = np.where(bits, np.float32(-1), np.float32(1))
        factors[begin : begin + window] *= scale
        values *= factors
        part = add_and_subtract(values[begin : begin + window], window // 2)
        part = add_and_subtract(part.reshape(-1, 16, 16).transpose(0, 2, 1).reshape(-1), 128)
        values[begin : begin + window] = part
        if window < n and number % 2 == 1:
            first, last = values[: n // 2].copy(), values[n - n // 2 :].copy()
            values[: n // 2], values[n - n // 2 :] = (
                np.float32(0.70710678) * (first + last),
                np.float32(0.70710678) * (first - last),
            )
    return values


def add_and_subtract(values, largest):
    """Pairs of values that lie `largest`, half of it, ..., 16 apart become their sum and their difference."""
    half = largest
    while half >= 16:
        pairs = values.reshape(-1, 2, half)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        half //= 2
    return values


def groups_around_centers(first, second, similarities, least):
    """Groups of rows around the row with most partners, then the next; a list of (rows, similarities to the first)."""
    partners = {}
    for a, b, similarity in zip(first, second, similarities, strict=True):
        if similarity >= least:
            partners.setdefault(a, []).append((-similarity, b))
            partners.setdefault(b, []).append((-similarity, a))
    taken, groups = set(), []
    for center in sorted(partners, key=lambda row: (-len(partners[row]), row)):
        free = [(row, -negative) for negative, row in sorted(partners[center]) if row not in taken]
        if center not in taken and free:
            taken |= {center, *(row for row, _ in free)}
            groups.append(([center, *(row for row, _ in free)], [1, *(similarity for _, similarity in free)]))
    return sorted(groups, key=lambda group: (-min(group[1]), -len(group[0]), min(group[0])))
