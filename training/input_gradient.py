"""Gradients with respect to a frozen recognizer's input, several times cheaper on a CPU than TorchScript's own.

Two kernels take nine tenths of the backward pass of a mobile network there: PReLU's, which also computes the gradient
of weights that nobody asked for, and that of strided depthwise convolutions in bfloat16 (docs/LOG.md has the numbers).
Here a frozen TorchScript graph is walked node by node, with these two replaced by ordinary vectorised operations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Network = Callable[[Tensor], Tensor]


class _PReLU(torch.autograd.Function):
    """PReLU with a frozen slope."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return torch.prelu(x, slope.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, slope = ctx.saved_tensors
        (gradient,) = gradients
        below = slope.to(gradient.dtype).view(1, -1, 1, 1)
        above = torch.ops.aten.threshold_backward(gradient, x, 0)  # 0 where x ≤ 0; torch.where is not vectorised
        return torch.addcmul(gradient * below, above, 1 - below), None


class _StridedDepthwise(torch.autograd.Function):
    """A depthwise convolution with a stride and frozen weights; its gradient is a convolution without one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], pad: list[int]) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.stride, ctx.pad = x.shape[2:], stride, pad
        return F.conv2d(x, weight, bias, stride, pad, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (weight,) = ctx.saved_tensors
        (gradient,) = gradients
        kernel = weight.shape[2:]
        sides = [side + 2 * p - k + 1 for side, p, k in zip(ctx.size, ctx.pad, kernel, strict=True)]
        spread = gradient.new_zeros(*gradient.shape[:2], *sides).contiguous(memory_format=torch.channels_last)
        spread[:, :, :: ctx.stride[0], :: ctx.stride[1]] = gradient
        rest = [k - 1 - p for p, k in zip(ctx.pad, kernel, strict=True)]
        flipped = weight.flip(2, 3).to(gradient.dtype)
        return F.conv2d(spread, flipped, None, 1, rest, groups=len(weight)), None, None, None, None


@dataclass(frozen=True, eq=False)
class _Node:
    """One operation of the graph: names of its inputs, and where its result goes."""

    run: Callable[..., Any]
    inputs: tuple[str, ...]
    output: str


def with_cheap_gradient(network: Network) -> Network:
    """The same function of (N, C, H, W) crops for a frozen TorchScript `network`; anything else comes back as it is."""
    graph = getattr(network, "graph", None)
    if not isinstance(network, torch.jit.ScriptModule) or graph is None:
        return network
    constants: dict[str, Any] = {}
    nodes: list[_Node] = []
    for node in graph.nodes():
        outputs = [value.debugName() for value in node.outputs()]
        inputs = tuple(value.debugName() for value in node.inputs())
        if node.kind() == "prim::Constant":
            constants[outputs[0]] = node.output().toIValue()
        elif node.kind() == "prim::ListConstruct":
            nodes.append(_Node(lambda *parts: list(parts), inputs, outputs[0]))
        elif node.kind().startswith("aten::") and len(outputs) == 1:
            nodes.append(_Node(_operation(node), inputs, outputs[0]))
        else:
            return network  # control flow or submodules: not a frozen feed-forward graph
    entry, result = [value.debugName() for value in graph.inputs()][-1], next(graph.outputs()).debugName()

    def run(crops: Tensor) -> Tensor:
        values = {**constants, entry: crops}
        for node in nodes:
            values[node.output] = node.run(*(values[name] for name in node.inputs))
        embedding: Tensor = values[result]
        return embedding

    return run


def _operation(node: Any) -> Callable[..., Any]:
    name = node.kind().removeprefix("aten::")
    if name == "prelu":
        return lambda x, slope: _PReLU.apply(x, slope) if x.dim() == 4 else torch.prelu(x, slope)
    if name == "_convolution":
        return _convolution
    overload = node.schema().split("(")[0].removeprefix(f"aten::{name}").removeprefix(".") or "default"
    operation = getattr(getattr(torch.ops.aten, name), overload)
    named = [argument.name for argument in operation._schema.arguments if argument.kwarg_only]

    def run(*values: Any) -> Any:
        positional = len(values) - len(named)
        return operation(*values[:positional], **dict(zip(named, values[positional:], strict=True)))

    return run


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    """`rest` as in aten::_convolution: stride, padding, dilation, transposed, output padding, groups, flags."""
    stride, pad, dilation, transposed, output_padding, groups = rest[:6]
    if transposed:
        return F.conv_transpose2d(x, weight, bias, stride, pad, output_padding, groups, dilation)
    depthwise = groups == len(weight) == x.shape[1] and dilation == [1, 1]
    if depthwise and stride != [1, 1]:
        made: Tensor = _StridedDepthwise.apply(x, weight, bias, stride, pad)
        return made
    return F.conv2d(x, weight, bias, stride, pad, dilation, groups)
