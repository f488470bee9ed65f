"""A network's copy in evaluation mode with its batch norms folded into convolutions, refreshed without a new trace."""

import copy
import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights


@dataclasses.dataclass(frozen=True, eq=False)
class Folded:
    """What torch.fx saw of a network, frozen, with weights in channels-last order.

    In evaluation mode `gamma (w * x - mean) / deviation + beta` is a convolution too, so that a norm behind a
    convolution needs no pass of its own.

    Args:
        net: The copy.
        pairs: Names of the convolutions, and of the norms folded into them.
    """

    net: fx.GraphModule
    pairs: tuple[tuple[str, str], ...]

    @torch.no_grad()
    def refresh(self, live: nn.Module) -> None:
        """Take the weights and statistics that the network has now. Costs one copy of them.

        Args:
            live: The network that was folded, or one with the same layers.
        """
        own = self._own()
        for conv, norm in self.pairs:
            for name, value in zip(("weight", "bias"), _fused(live, conv, norm), strict=True):
                own.pop(f"{conv}.{name}").copy_(value)
        theirs = _named(live)
        for name, value in own.items():
            value.copy_(theirs[name])

    def follows(self, live: nn.Module) -> bool:
        """Whether `refresh` reaches every number; constants that tracing computed from others stay as they were."""
        folded = {f"{conv}.{name}" for conv, _ in self.pairs for name in ("weight", "bias")}
        return set(self._own()) - folded <= set(_named(live))

    def _own(self) -> dict[str, Tensor]:
        return dict(self.net.named_parameters()) | dict(self.net.named_buffers())


def folded(net: nn.Module) -> Folded | None:
    """A copy of a network with convolutions; None where torch.fx cannot trace it through torch's own layers, or hooks.

    Args:
        net: A network in evaluation mode; it stays as it is.
    """
    if not any(isinstance(m, nn.Conv2d) for m in net.modules()) or any(_watched(m) for m in net.modules()):
        return None
    try:
        made = fx.symbolic_trace(copy.deepcopy(net)).eval()
    except Exception:  # noqa: BLE001 - a user's forward or copy may raise anything; the original is asked
        return None
    if not all(_known(node, made) for node in made.graph.nodes):
        return None
    layers = dict(made.named_modules())
    pairs = []
    for norm in [node for node in made.graph.nodes if _foldable(node, layers)]:
        conv = norm.args[0]
        made.set_submodule(conv.target, fuse_conv_bn_eval(layers[conv.target], layers[norm.target]))
        norm.replace_all_uses_with(conv)
        made.graph.erase_node(norm)
        pairs.append((conv.target, norm.target))
    made.delete_all_unused_submodules()
    made.recompile()
    made.requires_grad_(False)
    for parameter in made.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return Folded(made, tuple(pairs))


def _fused(live: nn.Module, conv: str, norm: str) -> tuple[Tensor, Tensor]:
    at, by = live.get_submodule(conv), live.get_submodule(norm)
    if not isinstance(at, nn.Conv2d) or not isinstance(by, nn.BatchNorm2d):
        raise TypeError(f"{conv} and {norm} are no convolution and norm any more")
    mean, variance = by.running_mean, by.running_var
    if mean is None or variance is None:
        raise TypeError(f"{norm} has no statistics any more")
    return fuse_conv_bn_weights(at.weight, at.bias, mean, variance, by.eps, by.weight, by.bias)


def _named(net: nn.Module) -> Mapping[str, Tensor]:
    parameters = dict(net.named_parameters(remove_duplicate=False))
    return parameters | dict(net.named_buffers(remove_duplicate=False))


def _foldable(node: fx.Node, layers: dict[str, nn.Module]) -> bool:
    """Whether it is a norm with fixed statistics, alone behind a convolution, each of them used once."""
    if node.op != "call_module" or type(layers[str(node.target)]) is not nn.BatchNorm2d:
        return False
    conv = node.args[0]
    if not isinstance(conv, fx.Node) or conv.op != "call_module" or len(conv.users) > 1:
        return False
    targets = [n.target for n in node.graph.nodes if n.op == "call_module"]
    once = targets.count(node.target) == 1 and targets.count(conv.target) == 1
    fixed = layers[str(node.target)].running_mean is not None
    return once and fixed and type(layers[str(conv.target)]) is nn.Conv2d


def _watched(module: nn.Module) -> bool:
    """Whether somebody listens, who would not hear the copy."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _known(node: fx.Node, graph: fx.GraphModule) -> bool:
    """Whether a step of the computation is torch's own."""
    if node.op == "call_module":
        return type(graph.get_submodule(str(node.target))).__module__.startswith("torch.nn.")
    if node.op == "call_function":
        return getattr(node.target, "__module__", "").split(".")[0] in ("torch", "_operator", "math")
    return True
