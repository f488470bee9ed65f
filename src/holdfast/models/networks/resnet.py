"""ResNet-18 for small pictures.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385; the pre-activation
variant by the same authors, "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027.
"""

from torch import Tensor, nn


class Resnet(nn.Module):
    """A 3x3 convolution, four stages of two blocks with 1, 2, 4, 8 times `width` channels, a mean, the logits.

    Args:
        shape: `(channels, height, width)` of one input.
        classes: Number of logits.
        width: Channels of the first stage; the paper has 64.
        pre_activation: Normalize and rectify before each convolution instead of after it.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 16, pre_activation: bool = False):
        super().__init__()
        self.stem = nn.Sequential(_conv(shape[0], width, 1))
        if not pre_activation:
            self.stem.extend([nn.BatchNorm2d(width), nn.ReLU()])
        block, inputs, blocks = PreactBlock if pre_activation else Block, width, []
        for stage in range(4):
            outputs = width * 2**stage
            for stride in (1 if stage == 0 else 2, 1):
                blocks.append(block(inputs, outputs, stride))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        if pre_activation:
            self.blocks.extend([nn.BatchNorm2d(inputs), nn.ReLU()])
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, height, width)` -> logits `(batch, classes)`."""
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """convolution, norm, ReLU, convolution, norm, plus the input, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1, self.norm1 = _conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _conv(outputs, outputs, 1), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(_conv(inputs, outputs, stride, 1), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` -> `(batch, outputs, height / stride, width / stride)`."""
        y = self.norm1(self.conv1(x)).relu()
        y = self.norm2(self.conv2(y))
        return (y + self.shortcut(x)).relu()  # type: ignore[no-any-return]


class PreactBlock(nn.Module):
    """norm, ReLU, convolution, norm, ReLU, convolution, plus the input; a shortcut starts after the first ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), _conv(inputs, outputs, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), _conv(outputs, outputs, 1)
        self.shortcut = None if stride == 1 and inputs == outputs else _conv(inputs, outputs, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` -> `(batch, outputs, height / stride, width / stride)`."""
        y = self.norm1(x).relu()
        kept = x if self.shortcut is None else self.shortcut(y)
        y = self.norm2(self.conv1(y)).relu()
        return self.conv2(y) + kept  # type: ignore[no-any-return]


def _conv(inputs: int, outputs: int, stride: int, size: int = 3) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv
