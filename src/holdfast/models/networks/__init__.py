"""Small networks for small images, by name: `build("resnet18", shape=(3, 32, 32), classes=10, width=16)`."""

from holdfast.models.networks.named import NAMES, Built, build, built

__all__ = ["Built", "NAMES", "build", "built"]
