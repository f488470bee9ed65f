"""A bitmap font of our own, 5 x 7 points a letter, with the letters that road signs need."""

import torch
from torch import Tensor

ROWS = {
    "0": "01110 11011 11011 11011 11011 11011 01110",
    "1": "00110 01110 11110 00110 00110 00110 00110",
    "2": "01110 11011 00011 00110 01100 11000 11111",
    "3": "11110 00011 00011 01110 00011 00011 11110",
    "5": "11111 11000 11110 00011 00011 11011 01110",
    "6": "01110 11000 11000 11110 11011 11011 01110",
    "8": "01110 11011 11011 01110 11011 11011 01110",
    "S": "01111 11000 11000 01110 00011 00011 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "O": "01110 11011 11011 11011 11011 11011 01110",
    "P": "11110 11011 11011 11110 11000 11000 11000",
}


def bitmap(text: str) -> Tensor:
    """A word as zeros and ones `(7, 6 letters - 1)`, letters one point apart."""
    rows = ["0".join(ROWS[letter].split()[row] for letter in text) for row in range(7)]
    return torch.tensor([[float(point) for point in row] for row in rows])


def written(x: Tensor, y: Tensor, text: str, center: tuple[float, float], half: tuple[float, float]) -> Tensor:
    """How much of each pixel the word covers when it fills the box of half width and half height: `(size, size)`."""
    points = torch.nn.functional.pad(bitmap(text), (1, 1, 1, 1))
    inner = points.shape[1] - 2, points.shape[0] - 2
    grid = torch.stack(
        [
            (x - center[0]) / half[0] * (inner[0] / points.shape[1]),
            (y - center[1]) / half[1] * (inner[1] / points.shape[0]),
        ],
        -1,
    )
    found = torch.nn.functional.grid_sample(points[None, None], grid[None], mode="bilinear", align_corners=False)[0, 0]
    return ((found - 0.5) * 3 + 0.6).clamp(0, 1)
