"""Optional packages: imported where they are used, and a clear line where they are missing."""

import importlib
from types import ModuleType

from holdfast.core.errors import MissingExtra


def need(module: str, extra: str) -> ModuleType:
    """Import an optional module, or say how to install it.

    Args:
        module: Name to import, `xgboost` or `torch.utils.tensorboard`.
        extra: The extra of holdfast that brings it.

    Raises:
        MissingExtra: HF701 where the package is not installed, HF702 where it is there but does not import.
    """
    package = module.partition(".")[0]
    install = f'pip install "holdfast[{extra}]"'
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise MissingExtra("HF702", f"'{module}' does not import: {error}", fix=install) from error
        raise MissingExtra(
            "HF701", f"This needs the package '{package}', which is not installed", fix=install
        ) from error
    except ImportError as error:
        raise MissingExtra("HF702", f"'{module}' does not import: {error}", fix=install) from error
