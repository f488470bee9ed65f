"""VGG-11 with batch normalization, one linear layer as head.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
arXiv:1409.1556.
"""

from torch import Tensor, nn

_PLAN = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels of the convolutions between two poolings, in widths


class Vgg(nn.Module):
    """Eight convolutions; a pooling after each group as long as the picture is larger than one pixel.

    Args:
        shape: `(channels, height, width)` of one input.
        classes: Number of logits.
        width: Channels of the first convolution; the paper has 64.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 32):
        super().__init__()
        layers: list[nn.Module] = []
        channels, height, breadth = shape
        for group in _PLAN:
            for factor in group:
                layers += _block(channels, factor * width)
                channels = factor * width
            if min(height, breadth) > 1:
                layers.append(nn.MaxPool2d(2))
                height, breadth = height // 2, breadth // 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, height, width)` -> logits `(batch, classes)`."""
        return self.head(self.features(x).mean((2, 3)))  # type: ignore[no-any-return]


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
