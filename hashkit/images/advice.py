"""What the figures of a gallery's codes mean for its pictures, and what to do about them, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashkit.images.quality import N_SEEN, Folders, Quality
from hashkit.images.settings import Settings

# Bounds between good and fair, and fair and weak. The first is of the way from chance to what is possible: among 1,010
# photographs of Caltech-101 .75 by udhpl at 64 bits, .04 by the DCT hash, whose codes do not say what a picture shows.
_NEAR = (0.6, 0.3)
_SHARED = (0.05, 0.25)  # pictures that share their code with another
_EVEN = (0.8, 0.5)  # bits that split the pictures no worse than 30 : 70
_NOTHING = "Nothing needs to be done."
_UNEVEN, _IDLE = 0.2, 0.45  # distance of a bit's share from one half


@dataclass(frozen=True)
class Advice:
    """One figure: its grade (good, fair, weak or none), what was found, what it means, and what to do."""

    title: str
    grade: str
    found: str
    meaning: str
    action: str


def advise(quality: Quality, settings: Settings) -> list[Advice]:
    """Advice on a gallery, the most telling figure first."""
    folders = [] if quality.folders is None else [_of_folders(quality.folders, settings)]
    return [*folders, _of_distances(quality), _of_sharing(quality, settings), _of_bits(quality)]


def within(quality: Quality) -> list[tuple[int, float, float | None, float | None]]:
    """Some radii: how many other pictures lie within, the share of them in the same folder, and of that folder's."""
    reach = max(quality.reach, 2)
    radii = sorted({round(reach * share) for share in (0, 0.25, 0.5, 0.75, 1, 1.5)})
    rows: list[tuple[int, float, float | None, float | None]] = []
    for radius in (radius for radius in radii if radius <= quality.n_bits):
        folders = quality.folders
        precision, recall = (None, None) if folders is None else (folders.precision[radius], folders.recall[radius])
        rows.append((radius, quality.n_within(radius), _number(precision), _number(recall)))
    return rows


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _grade(value: float, bounds: tuple[float, float], *, high_is_good: bool = True) -> str:
    good, fair = bounds
    if not high_is_good:
        value, good, fair = -value, -good, -fair
    return "good" if value >= good else "fair" if value >= fair else "weak"


def _of_folders(folders: Folders, settings: Settings) -> Advice:
    grade = _grade((folders.near - folders.chance) / max(folders.possible - folders.chance, 1e-9), _NEAR)
    near, possible, chance = (folders.n_near * share for share in (folders.near, folders.possible, folders.chance))
    action = _NOTHING
    if grade != "good" and not settings.method:
        action = (
            "A perceptual hash finds the same picture, not pictures of the same thing. Index anew without --model to"
            " find those, too."
        )
    elif grade != "good":
        action = (
            "If the folders stand for kinds of pictures, index anew with longer codes (--bits 128), and order neighbors"
            " by features. If they stand for days or events, this figure says little: leave it."
        )
    return Advice(
        "Do near pictures belong together?",
        grade,
        f"Of the {folders.n_near} pictures nearest to a picture, {near:.1f} are in the same folder on average."
        f" Chance gives {chance:.1f}, and {possible:.1f} are possible.",
        f"{folders.n_folders:,} folders are taken as kinds of pictures. The higher the figure, the more of what is"
        " shown first is of one kind.",
        action,
    )


def _of_distances(quality: Quality) -> Advice:
    typical = f"Two pictures drawn at random differ in {quality.typical_distance} of {quality.n_bits} bits."
    if quality.reach < 0:
        return Advice(
            "How far is near?",
            "weak",
            f"{typical} But more than {N_SEEN} pictures have the very same code, on average.",
            "Codes alone hardly tell these pictures apart.",
            "Index anew with longer codes (--bits 128), and order neighbors by features.",
        )
    return Advice(
        "How far is near?",
        "",
        f"{typical} Within distance {quality.reach} of a picture are {quality.n_within(quality.reach):,.1f} others on"
        " average.",
        "The farther the slider of neighbors is moved, the more of what it shows is there by chance; the table below"
        " says how much.",
        f"Start with the slider at {quality.reach}.",
    )


def _of_sharing(quality: Quality, settings: Settings) -> Advice:
    grade = _grade(quality.shared, _SHARED, high_is_good=False)
    action = _NOTHING
    if grade != "good":
        action = "Near codes of Duplicates mix these pictures; Copies compares pixels and does not. " + (
            "Longer codes (--bits 128) or --method pca_sign keep them apart."
            if settings.method
            else "Copies of one picture share a code, too, and are no fault."
        )
    return Advice(
        "Do different pictures have different codes?",
        grade,
        f"{100 * quality.shared:.1f} % of the pictures share their code with another one.",
        "Pictures with one code are at distance 0 and stand first among each other's neighbors, be they copies or not.",
        action,
    )


def _of_bits(quality: Quality) -> Advice:
    away = np.abs(quality.bit_balance - 0.5)
    n_even, n_idle = int((away <= _UNEVEN).sum()), int((away >= _IDLE).sum())
    grade = _grade(n_even / quality.n_bits, _EVEN)
    return Advice(
        "Does every bit do its work?",
        grade,
        f"{n_even} of {quality.n_bits} bits split the pictures evenly. Bits that are the same in nearly all: {n_idle}.",
        "A bit that is 1 in half of the pictures tells most; one that is the same in all of them tells nothing.",
        _NOTHING
        if grade == "good"
        else "The collection has changed since the codes were learned, or its pictures are much alike: learn anew with"
        " hashkit images index --refit.",
    )
