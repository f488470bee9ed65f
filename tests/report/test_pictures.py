import base64
import io

import numpy as np
from PIL import Image

from holdfast.report import pictures


def decoded(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def test_addresses_lose_nothing():
    image = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(pictures.address(image)), image)


def test_pixels_span_the_bounds():
    x = np.array([[[-2.0, 0.0, 2.0, 5.0]]])
    np.testing.assert_array_equal(pictures.pixels(x, (-2, 2))[0, :, 0], [0, 128, 255, 255])
    assert pictures.pixels(np.zeros((4, 2, 2)), (0, 1)).shape == (2, 2, 3)


def test_difference_is_zero_centered_signed_and_shows_the_strongest_channel():
    clean = np.full((3, 1, 3), 0.5)
    changed = clean.copy()
    changed[1, 0, 0], changed[2, 0, 1], changed[0, 0, 1] = 0.75, 0.25, 0.6
    shown, peak = pictures.difference(clean, changed)
    assert peak == 0.25
    np.testing.assert_array_equal(shown[0], np.rint([pictures.MORE, pictures.LESS, pictures.ZERO]))


def test_no_change_has_no_color():
    x = np.ones((1, 2, 2))
    shown, peak = pictures.difference(x, x)
    assert peak == 0
    assert (shown == np.rint(pictures.ZERO)).all()
