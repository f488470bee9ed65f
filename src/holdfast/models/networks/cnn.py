"""A small convolutional network: five convolutions with batch normalization, then a mean over the picture."""

from torch import Tensor, nn


class Cnn(nn.Module):
    """Convolutions of 1, 1, 2, 2, 4 times `width` channels; the third and the fifth halve the picture.

    Args:
        shape: `(channels, height, width)` of one input.
        classes: Number of logits.
        width: Channels of the first convolution.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 32):
        super().__init__()
        w = width
        self.features = nn.Sequential(
            *_block(shape[0], w, 1),
            *_block(w, w, 1),
            *_block(w, 2 * w, 2),
            *_block(2 * w, 2 * w, 1),
            *_block(2 * w, 4 * w, 2),
        )
        self.head = nn.Linear(4 * w, classes)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, height, width)` -> logits `(batch, classes)`."""
        return self.head(self.features(x).mean((2, 3)))  # type: ignore[no-any-return]


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
