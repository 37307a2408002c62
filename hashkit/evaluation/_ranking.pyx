# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Loops over rankings: counts by distance, relevance in ranked order, average precision.

One row is one query. ``distances`` lie in ``[0, n_bits]`` and relevance flags are 0 or 1: the callers have checked.
Where items tie, ``flags_in_order`` breaks ties by id (the column number) and ``expected_average_precision`` takes the
mean over all orders of the tied items.
"""

import numpy as np

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport exp, lgamma
from libc.stdint cimport int64_t, uint8_t, uint16_t

# Items between two looks at signals, about 10 ms of work: Ctrl-C ends a loop in the middle.
cdef enum:
    ITEMS_PER_CHECK = 1 << 22


cdef int check_signals(Py_ssize_t n_new, Py_ssize_t* n_done) except -1 nogil:
    """Count items that have been worked on, and let handlers of signals raise now and then."""
    n_done[0] += n_new
    if n_done[0] < ITEMS_PER_CHECK:
        return 0
    n_done[0] = 0
    with gil:
        return PyErr_CheckSignals()


def count_by_distance(const uint16_t[:, ::1] distances, const uint8_t[:, ::1] relevant, int n_bits):
    """Count the items, and the relevant items, at every distance.

    Returns
    -------
    n_items, n_relevant : int64 arrays of shape (n_queries, n_bits + 1)
    """
    cdef Py_ssize_t query, item, n_done = 0
    cdef Py_ssize_t distance
    n_items = np.zeros((distances.shape[0], n_bits + 1), np.int64)
    n_relevant = np.zeros_like(n_items)
    cdef int64_t[:, ::1] items = n_items
    cdef int64_t[:, ::1] hits = n_relevant
    with nogil:
        for query in range(distances.shape[0]):
            check_signals(distances.shape[1], &n_done)
            for item in range(distances.shape[1]):
                distance = distances[query, item]
                items[query, distance] += 1
                hits[query, distance] += relevant[query, item]
    return n_items, n_relevant


def flags_in_order(const uint16_t[:, ::1] distances, const uint8_t[:, ::1] relevant, int n_bits, Py_ssize_t n_ranked):
    """Order every row's relevance flags by (distance, id) and keep the first ``n_ranked``: a counting sort.

    Returns
    -------
    flags : uint8 array of shape (n_queries, n_ranked)
    """
    cdef Py_ssize_t query, item, n_done = 0
    cdef int64_t rank
    cdef Py_ssize_t distance
    flags = np.zeros((distances.shape[0], n_ranked), np.uint8)
    cdef uint8_t[:, ::1] ordered = flags
    cdef int64_t[::1] next_rank = np.zeros(n_bits + 2, np.int64)
    with nogil:
        for query in range(distances.shape[0]):
            check_signals(2 * distances.shape[1], &n_done)
            next_rank[:] = 0
            for item in range(distances.shape[1]):
                next_rank[distances[query, item] + 1] += 1
            for distance in range(n_bits):
                next_rank[distance + 1] += next_rank[distance]
            for item in range(distances.shape[1]):
                distance = distances[query, item]
                rank = next_rank[distance]
                next_rank[distance] = rank + 1
                if rank < n_ranked:
                    ordered[query, rank] = relevant[query, item]
    return flags


def sum_precisions(const uint8_t[:, ::1] flags):
    """Add up precision@rank over the ranks that hold a relevant item: average precision before its division.

    Returns
    -------
    sums : float64 array of shape (n_queries,)
    """
    cdef Py_ssize_t query, rank, n_done = 0
    cdef int64_t n_hits
    sums = np.zeros(flags.shape[0], np.float64)
    cdef double[::1] totals = sums
    with nogil:
        for query in range(flags.shape[0]):
            check_signals(flags.shape[1], &n_done)
            n_hits = 0
            for rank in range(flags.shape[1]):
                if flags[query, rank]:
                    n_hits += 1
                    totals[query] += <double> n_hits / (rank + 1)
    return sums


cdef double tied_precisions(
    int64_t n_before, int64_t hits_before, int64_t n_tied, int64_t n_hits, int64_t n_seen, const double[::1] harmonic
) noexcept nogil:
    """Expected sum of precision@rank over the relevant items among the first ``n_seen`` of ``n_tied`` tied items.

    ``n_hits`` of the tied items are relevant and every order is equally likely (McSherry and Najork 2008, "Computing
    information retrieval performance measures efficiently in the presence of tied scores", section 3). The j-th of
    them is relevant with probability n_hits / n_tied, and then 1 + (j - 1) (n_hits - 1) / (n_tied - 1) relevant items
    are expected among the first j. Summed over j, with H(n) = 1 + 1/2 + ... + 1/n in ``harmonic[n]``:
    sum of 1 / (n_before + j) = H(n_before + n_seen) - H(n_before) =: S
    sum of (j - 1) / (n_before + j) = n_seen - (n_before + 1) S.
    """
    cdef double inverse_ranks, slope
    if n_hits == 0:
        return 0.0
    inverse_ranks = harmonic[n_before + n_seen] - harmonic[n_before]
    slope = <double> (n_hits - 1) / (n_tied - 1) if n_tied > 1 else 0.0
    return (<double> n_hits / n_tied) * (
        (hits_before + 1) * inverse_ranks + slope * (n_seen - (n_before + 1) * inverse_ranks)
    )


cdef double log_choose(int64_t n, int64_t k) noexcept nogil:
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0)


cdef double cut_average_precision(
    double sum_before,
    int64_t n_before,
    int64_t hits_before,
    int64_t n_tied,
    int64_t n_hits,
    int64_t n_seen,
    const double[::1] harmonic,
) noexcept nogil:
    """Expected average precision over the first k items, divided by the relevant items among them, when k cuts a tie.

    How many relevant items, t, fall among the ``n_seen`` tied items before the cut is hypergeometric. Given t, they
    are ``n_seen`` tied items with t relevant ones that are seen whole, and the division is by hits_before + t.
    """
    cdef int64_t first = max(0, n_seen - (n_tied - n_hits))
    cdef int64_t last = min(n_seen, n_hits)
    cdef int64_t t
    cdef double log_total = log_choose(n_tied, n_seen)
    cdef double weight, score = 0.0, total = 0.0
    for t in range(first, last + 1):
        weight = exp(log_choose(n_hits, t) + log_choose(n_tied - n_hits, n_seen - t) - log_total)
        total += weight
        if hits_before + t > 0:
            score += weight / (hits_before + t) * (
                sum_before + tied_precisions(n_before, hits_before, n_seen, t, n_seen, harmonic)
            )
    return score / total


cdef double expected_row(
    const int64_t[::1] n_items,
    const int64_t[::1] n_relevant,
    int64_t k,
    bint divide_by_found,
    const double[::1] harmonic,
) noexcept nogil:
    """Expected average precision of one query with at least one relevant item."""
    cdef Py_ssize_t distance
    cdef int64_t n_tied, n_hits, n_seen, n_before = 0, hits_before = 0, n_all = 0
    cdef double total = 0.0
    for distance in range(n_items.shape[0]):
        n_all += n_relevant[distance]
        n_tied, n_hits = n_items[distance], n_relevant[distance]
        n_seen = min(n_tied, k - n_before)
        if n_seen == 0:
            continue
        if divide_by_found and n_seen < n_tied:
            return cut_average_precision(total, n_before, hits_before, n_tied, n_hits, n_seen, harmonic)
        total += tied_precisions(n_before, hits_before, n_tied, n_hits, n_seen, harmonic)
        n_before += n_seen
        hits_before += n_hits
    if divide_by_found:
        return total / hits_before if hits_before > 0 else 0.0
    return total / n_all


def expected_average_precision(
    const int64_t[:, ::1] n_items, const int64_t[:, ::1] n_relevant, int64_t k, bint divide_by_found
):
    """Mean of the average precision over the first ``k`` items, over all orders of tied items, in closed form.

    Parameters
    ----------
    n_items, n_relevant : int64 arrays of shape (n_queries, n_bits + 1)
        Items and relevant items at every distance. A row of ``n_items`` adds up to ``k`` or more, and a row of
        ``n_relevant`` to 1 or more.
    divide_by_found : bool
        Divide by the relevant items among the first ``k`` (0 where there are none), else by all relevant items.

    Returns
    -------
    scores : float64 array of shape (n_queries,)
    """
    cdef Py_ssize_t query, n_done = 0
    scores = np.empty(n_items.shape[0], np.float64)
    cdef double[::1] out = scores
    cdef const double[::1] harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, k + 1))])
    with nogil:
        for query in range(n_items.shape[0]):
            # A cut within ties takes some hundred nanoseconds for each of them.
            check_signals(32 * (n_items.shape[1] + (k if divide_by_found else 0)), &n_done)
            out[query] = expected_row(n_items[query], n_relevant[query], k, divide_by_found, harmonic)
    return scores
