"""A classifier as a list of parts: its forward is traced once (torch.fx), and every step must be one that is known."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.trust.certificates.bounds import Node
from robustbench_lite.trust.certificates.layers import KNOWN, part_of
from robustbench_lite.trust.certificates.parts import Moved, Part, Rectifier, Scaled
from robustbench_lite.trust.certificates.steps import ARITHMETIC, AVERAGING, check_type, line, maximum, moving

if TYPE_CHECKING:
    from torch import fx, nn

__all__ = ["nodes_of"]

_SAME = {"to", "float", "double", "contiguous", "detach", "clone"}  # but for types that round more, which are refused
_BATCH = -1  # how many images there are, in the shapes that a forward asks for


def nodes_of(module: nn.Module, shape: tuple[int, ...]) -> tuple[Node, ...]:
    """The nodes of a classifier of images (C, H, W), the last of which are its logits. Raises ModelError."""
    try:
        graph = torch.fx.Tracer().trace(module)
    except Exception as error:
        raise ModelError(
            f"its forward cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__}); "
            "expected the same sequence of layers for every image, without conditions on their values"
        ) from error
    return _Reading(module, shape).nodes_of(graph)


@dataclass(frozen=True)
class _At:
    """The place of a node, as the value of a step."""

    place: int


@dataclass
class _Reading:
    module: nn.Module
    shape: tuple[int, ...]
    nodes: list[Node] = field(default_factory=list)
    values: dict[fx.Node, Any] = field(default_factory=dict)

    def nodes_of(self, graph: fx.Graph) -> tuple[Node, ...]:
        for step in graph.nodes:
            if step.op == "output":
                return self._logits(self._value(step.args[0]))
            self.values[step] = self._step(step)
        raise ModelError("its forward returns nothing")

    def _logits(self, out: Any) -> tuple[Node, ...]:
        if not isinstance(out, _At) or len(self.nodes[out.place].shape) != 1:
            raise ModelError("its forward returns something else than logits (N, K)")
        return tuple(self.nodes[: out.place + 1])

    def _step(self, step: fx.Node) -> Any:
        if step.op == "placeholder":
            if self.nodes:
                return step.args[0] if step.args else None  # other arguments, left at their defaults
            self.nodes.append(Node(None, (), self.shape))
            return _At(0)
        if step.op == "get_attr":
            return operator.attrgetter(str(step.target))(self.module)
        args, options = self._value(step.args), self._value(step.kwargs)
        if step.op == "call_module":
            return self._layer(str(step.target), args)
        if not any(isinstance(one, _At) for one in _flat((args, options))):
            return _computed(step, args, options)
        name = str(step.target) if step.op == "call_method" else getattr(step.target, "__name__", str(step.target))
        return self._called(name, args, options)

    def _value(self, given: Any) -> Any:
        return torch.fx.node.map_arg(given, lambda step: self.values[step])

    def _layer(self, path: str, args: tuple[Any, ...]) -> _At:
        layer = self.module.get_submodule(path)
        if len(args) != 1 or not isinstance(args[0], _At):
            raise ModelError(f"{path}: expected a layer of one input")
        if "forward" in vars(layer) or layer._forward_hooks or layer._forward_pre_hooks:  # noqa: SLF001
            raise ModelError(f"{path}: its forward was changed, so that its class does not say what it does")
        try:
            part = part_of(layer, self.nodes[args[0].place].shape)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        return args[0] if part is None else self._add(part, args[0])

    def _add(self, part: Part, *inputs: _At) -> _At:
        """A node; its shape is that of what the part makes of zeros."""
        parents = tuple(one.place for one in inputs)
        zeros = tuple(torch.zeros(1, *self.nodes[parent].shape, dtype=torch.float64) for parent in parents)
        self.nodes.append(Node(part, parents, tuple(part.bounds(zeros, zeros)[0].shape[1:])))
        return _At(len(self.nodes) - 1)

    def _called(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A function or method of tensors, at least one of which is a node."""
        if name in ARITHMETIC and len(args) == 2 and not options.get("alpha"):
            return self._arithmetic(ARITHMETIC[name], *args)
        if name == "cat" and all(isinstance(one, _At) for one in args[0]):
            return self._moved(lambda *x: torch.cat(x, *args[1:], **options), args[0], terms=1)
        if not (args and isinstance(args[0], _At)):
            raise ModelError(f"no bound is known for {name} of these; known are {KNOWN}")
        shape = self.nodes[args[0].place].shape
        if name == "size" or (name == "getattr" and args[1] == "shape"):
            size = (_BATCH, *shape)
            return size[args[1]] if name == "size" and len(args) > 1 else size
        return self._of_one(name, args[0], args[1:], options)

    def _of_one(self, name: str, first: _At, rest: tuple[Any, ...], options: dict[str, Any]) -> _At:
        shape = self.nodes[first.place].shape
        if name in _SAME:
            check_type(name, (*rest, *options.values()))
            return first
        if name in {"relu", "relu_"}:
            return self._add(Rectifier(), first)
        if name == "max_pool2d":
            return self._add(maximum(shape, rest, options), first)
        return self._moved(moving(name, rest, options), [first], math.prod(shape) + 2 if name in AVERAGING else 1)

    def _moved(self, function: Callable[..., torch.Tensor], inputs: Any, terms: int) -> _At:
        """Checked to treat every image by itself."""
        shapes = tuple(self.nodes[one.place].shape for one in inputs)
        x = [torch.rand(3, *shape, dtype=torch.float64) for shape in shapes]
        together, alone = function(*x), function(*(one[1:2] for one in x))
        if together.shape[:1] != (3,) or alone.shape[:1] != (1,) or not torch.equal(together[1:2], alone):
            raise ModelError("an image's logits depend on the others of its batch")
        return self._add(Moved(function, shapes, terms), *inputs)

    def _arithmetic(self, kind: str, a: Any, b: Any) -> _At:
        """A sum of two nodes, or what a constant does to one."""
        if isinstance(a, _At) and isinstance(b, _At):
            if kind != "add":
                raise ModelError(f"{kind} of two layers: no bound is known; known are {KNOWN}")
            return self._moved(lambda x, y: x + y, [a, b], terms=2)
        node, constant = (a, b) if isinstance(a, _At) else (b, a)
        scale, shift = line(kind, torch.as_tensor(constant).detach().double().cpu(), first=node is a)
        shape = self.nodes[node.place].shape
        if (torch.zeros(1, *shape) * scale + shift).shape != (1, *shape):
            raise ModelError(f"{kind}: a constant of shape {tuple(constant.shape)} changes the shape of images {shape}")
        return self._add(Scaled(scale, shift, shift.abs(), operations=2), node)


def _computed(step: fx.Node, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A step among constants."""
    if step.op == "call_method":
        return getattr(args[0], str(step.target))(*args[1:], **options)
    return step.target(*args, **options)  # type: ignore[operator]


def _flat(given: Any) -> list[Any]:
    if isinstance(given, dict):
        given = tuple(given.values())
    if isinstance(given, list | tuple):
        return [inner for one in given for inner in _flat(one)]
    return [given]
