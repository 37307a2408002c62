"""Every kind of image becomes an upright RGB picture; everything else is refused with the reason."""

import errno
import io
import os
import struct
import zlib
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")

from PIL import Image

from hashkit.images import ImageError, open_image, read_image
from hashkit.images.colors import to_rgb
from hashkit.images.decoding import MAX_PIXELS, hint_for, reason
from hashkit.images.files import find_images


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def close(a, b, tolerance=12):
    difference = np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16))
    return a.size == b.size and difference.mean() < tolerance


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF"])
def test_common_formats(photographs, format):
    picture = read_image(encoded(photographs[0], format))
    assert picture.mode == "RGB"
    assert close(picture, photographs[0])


def test_exif_orientation_is_undone(photographs):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    picture = read_image(encoded(photographs[0], "JPEG", exif=exif))
    assert close(picture, photographs[0].transpose(Image.Transpose.ROTATE_270))


def test_gray_cmyk_and_palette(photographs):
    gray = photographs[1].convert("L")
    assert close(read_image(encoded(gray, "JPEG")), gray.convert("RGB"))
    assert close(read_image(encoded(photographs[1].convert("CMYK"), "JPEG")), photographs[1])
    assert close(read_image(encoded(photographs[1].quantize(256), "PNG")), photographs[1])


def test_transparent_pixels_lie_over_white():
    half = Image.new("RGBA", (4, 2), (200, 0, 0, 255))
    half.paste((0, 0, 0, 0), (2, 0, 4, 2))
    pixels = np.asarray(read_image(encoded(half, "PNG")))
    assert (pixels[:, :2] == (200, 0, 0)).all()
    assert (pixels[:, 2:] == 255).all()


def test_16_bits_keep_the_upper_8():
    values = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    pixels = np.asarray(read_image(encoded(Image.fromarray(values), "PNG")))
    assert (pixels[..., 0] == values >> 8).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 128, 255]], np.int32), [0, 128, 255]),
        (np.array([[0, 0x8000, 0xFFFF]], np.int32), [0, 128, 255]),
        (np.array([[-100, 0, 100]], np.int32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[3.0, 3.0, np.nan]], np.float32), [255, 255, 0]),
    ],
)
def test_values_without_a_range_are_stretched(values, expected):
    assert np.asarray(read_image(encoded(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == expected


def test_first_frame_of_an_animation(photographs):
    data = encoded(photographs[0], "GIF", save_all=True, append_images=[photographs[1]])
    assert close(read_image(data), photographs[0])


def test_a_large_jpeg_is_decoded_smaller(photographs):
    large = photographs[0].resize((2560, 1708))
    picture = read_image(encoded(large, "JPEG"), least_side=448)
    assert picture.size == (1280, 854)
    assert read_image(encoded(photographs[0], "JPEG"), least_side=448).size == (640, 427)


def test_stamp_is_that_of_the_file(tmp_path, photographs):
    path = tmp_path / "a.png"
    photographs[0].save(path)
    os.utime(path, ns=(5, 7_000_000_123))
    _, stamp = open_image(path)
    assert (stamp.size, stamp.mtime_ns) == (path.stat().st_size, 7_000_000_123)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_truncated_files_are_refused(photographs, format):
    data = encoded(photographs[0], format)
    for length in (1, 10, 100, len(data) // 2, len(data) - 30):
        with pytest.raises(ImageError, match=r"damaged|no image"):
            read_image(data[:length])


def test_empty_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(ImageError, match="it is empty"):
        read_image(b"")
    with pytest.raises(ImageError, match="no image of a known format"):
        read_image(b"hello" * 100)
    with pytest.raises(ImageError, match="no image of a known format"):
        read_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.jpg")


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_decompression_bombs_are_refused_before_decoding(side):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=f"than the {MAX_PIXELS:,} that are decoded"):
        read_image(bomb)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_lose_the_picture(photographs):
    data = encoded(photographs[0], "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\0")
    assert close(read_image(data), photographs[0])


def test_heic_pictures_with_the_extra(photographs, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra heif")
    pillow_heif.from_pillow(photographs[0]).save(tmp_path / "photo.heic", quality=80)
    picture = read_image(tmp_path / "photo.heic")
    assert (picture.mode, picture.size) == ("RGB", photographs[0].size)
    assert np.abs(np.asarray(picture, float) - np.asarray(photographs[0], float)).mean() < 8
    assert list(find_images(tmp_path)) == ["photo.heic"]


def test_heic_pictures_without_the_extra_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("hashkit.images.decoding.opens_heif", lambda: False)
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(ImageError, match=r"HEIC picture, .*: pip install 'hashkit-codes\[heif\]'"):
        read_image(tmp_path / "photo.heic")
    passed_over = Counter()
    assert find_images(tmp_path, passed_over=passed_over) == {}
    assert passed_over == {".heic": 1}
    assert hint_for(".heic") == " (pip install 'hashkit-codes[heif]')"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "CMYK", "I;16", "F", "1"])
def test_strips_give_what_the_whole_gives(photographs, monkeypatch, mode):
    """A picture that is converted strip by strip has the same pixels; reduced, those of its mean."""
    picture = photographs[0].convert("L" if mode in ("I;16", "F", "LA") else "RGBA" if mode == "RGBA" else "RGB")
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture = picture.convert(mode)
    whole = to_rgb(picture)
    monkeypatch.setattr("hashkit.images.colors.STRIP_PIXELS", 10_000)
    assert (np.asarray(to_rgb(picture)) == np.asarray(whole)).all()
    small = np.asarray(to_rgb(picture, 3), float)
    assert small.shape == (143, 214, 3)
    assert np.abs(small - np.asarray(whole.reduce(3), float)).max() <= 2


def test_reasons_name_no_path_and_no_errno():
    for number in (errno.ENOENT, errno.EACCES, errno.EIO, errno.ELOOP, errno.EBUSY):
        text = reason(OSError(number, os.strerror(number), "/home/somebody/secret.jpg"))
        assert "secret" not in text
        assert "Errno" not in text
        assert text[0].islower()
