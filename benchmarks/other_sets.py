"""Letters of the installed fonts, emoji and spoken words, as features with labels."""

import subprocess
from pathlib import Path

import numpy as np

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EMOJI_LIST = Path("/usr/share/unicode/emoji/emoji-test.txt")
EMOJI_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
SPOKEN = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "left", "right", "up", "down"]
SPOKEN += ["forward", "backward", "stop", "start", "yes", "no", "open", "close", "red", "green", "blue", "white"]
SPOKEN += ["black", "morning", "evening", "water"]
# Variants of espeak-ng's English voice, speeds in words a minute, and pitches.
VOICES = [f"f{i}" for i in range(1, 6)] + [f"m{i}" for i in range(1, 9)]
VOICES += ["croak", "klatt", "klatt2", "klatt3", "whisper"]
SPEEDS, PITCHES = (120, 150, 185), (30, 50, 70)


def letters() -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the 26 capital letters in the installed fonts: 16 x 16, cut to the ink; the label is the letter."""
    from PIL import Image, ImageDraw, ImageFont

    listing = subprocess.run(
        ["fc-list", ":lang=en", "file", "index"], check=True, capture_output=True, text=True
    ).stdout
    paths = sorted({line.partition(":")[0] for line in listing.splitlines()})
    rows, labels = [], []
    for path in paths:
        if "Emoji" in path or not path.endswith((".ttf", ".otf")):
            continue
        font = ImageFont.truetype(path, 64)
        for letter in LETTERS:
            picture = Image.new("L", (160, 160))
            ImageDraw.Draw(picture).text((40, 40), letter, fill=255, font=font)
            box = picture.getbbox()
            if box is not None:
                cut = picture.crop(box).resize((16, 16), Image.Resampling.BOX)
                rows.append(np.asarray(cut, dtype=np.float32).ravel() / 255)
                labels.append(letter)
    features, first = np.unique(np.stack(rows), axis=0, return_index=True)
    return features, np.asarray(labels)[first]


def emoji() -> tuple[np.ndarray, np.ndarray]:
    """EfficientNet-Lite0's features of single-character emoji; the label is Unicode's subgroup, of at least 20."""
    from PIL import Image, ImageDraw, ImageFont

    from hashkit.images.models import make_model

    model = make_model("efficientnet-lite0")
    font = ImageFont.truetype(EMOJI_FONT, 109)
    subgroup, prepared, labels = "", [], []
    for line in EMOJI_LIST.read_text().splitlines():
        if line.startswith("# subgroup: "):
            subgroup = line.removeprefix("# subgroup: ")
        codes, _, rest = line.partition(";")
        points = [int(code, 16) for code in codes.split()] if rest.strip().startswith("fully-qualified") else []
        text = "".join(map(chr, points))
        if len([point for point in points if point != 0xFE0F]) == 1:
            picture = Image.new("RGB", (136, 128), "white")
            ImageDraw.Draw(picture).text((0, 0), text, font=font, embedded_color=True)
            prepared.append(model.prepare(picture))
            labels.append(subgroup)
    features = np.concatenate([model.run(prepared[i : i + 16]) for i in range(0, len(prepared), 16)])
    names, counts = np.unique(labels, return_counts=True)
    kept = np.isin(labels, names[counts >= 20])
    return features[kept], np.asarray(labels)[kept]


def speech() -> tuple[np.ndarray, np.ndarray]:
    """Log mel spectra, 24 bands at 16 moments, of 30 words by espeak-ng's voices; the label is the word."""
    rows, labels = [], []
    for word in SPOKEN:
        for voice in VOICES:
            for speed in SPEEDS:
                for pitch in PITCHES:
                    options = ["-v", f"en+{voice}", "-s", f"{speed}", "-p", f"{pitch}", "--stdout", word]
                    sound = subprocess.run(["espeak-ng", *options], check=True, capture_output=True).stdout
                    rows.append(mel_spectra(np.frombuffer(sound[44:], dtype="<i2") / 2**15, 22050))
                    labels.append(word)
    return np.stack(rows), np.asarray(labels)


def mel_spectra(sound: np.ndarray, rate: int, *, n_bands: int = 24, n_moments: int = 16) -> np.ndarray:
    """Logarithms of the energy in bands of the mel scale at moments spread evenly over what is loud enough."""
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    sound = sound[loud[0] : loud[-1] + 1] if len(loud) else sound
    size = 1024
    starts = np.linspace(0, max(0, len(sound) - size), n_moments).astype(int)
    frames = np.stack([np.pad(sound[i : i + size], (0, max(0, size - len(sound[i : i + size])))) for i in starts])
    energy = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    mel = 2595 * np.log10(1 + np.fft.rfftfreq(size, 1 / rate) / 700)
    edges = np.linspace(mel[1], mel[-1] * 0.75, n_bands + 2)
    bands = np.maximum(0, 1 - np.abs(mel[:, None] - edges[1:-1]) / (edges[1] - edges[0]))
    return np.log(energy @ bands + 1e-6).astype(np.float32).ravel()
