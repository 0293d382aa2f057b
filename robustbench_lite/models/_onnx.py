"""ONNX files: read without running or following anything, what they take and give, and rewritten for the converter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.files import regular
from robustbench_lite.models._checkpoint import refuse_what_is_no_weights

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["Face", "content", "face", "read", "rewritten"]

_LARGEST = 2**31 - 1  # bytes, of a protobuf with its weights inside
_TYPES = {1: "float32", 10: "float16", 11: "float64"}  # of onnx.TensorProto.DataType
_KNOWN = 17  # the newest operator set of which the converter knows most
_NEWER = {"allowzero", "num_outputs", "antialias", "noop_with_empty_axes", "saturate", "round_mode"}


@dataclass(frozen=True)
class Face:
    """The one input and the output that is read as logits; null: a side that may have any length."""

    given: str
    dims: tuple[int | None, ...]  # batch first
    dtype: str
    made: str
    outputs: tuple[str, ...]  # all there are


def read(path: Path, what: str) -> ModelProto:
    """The file with its weights, also those in files beside it. Raises ModelError."""
    import onnx

    refuse_what_is_no_weights(path, what)
    try:
        model = onnx.load(str(regular(path, _LARGEST)), load_external_data=False)
        _load_beside(model, path)
        onnx.checker.check_model(model)
    except ModelError as error:
        raise ModelError(f"{what}: '{path.name}' {error}") from None
    except Exception as error:  # noqa: BLE001  (a damaged protobuf fails in every way there is)
        raise ModelError(f"{what}: '{path.name}' is no ONNX file, or damaged ({_first(error)})") from None
    return model


def _load_beside(model: ModelProto, path: Path) -> None:
    """Weights in other files of the same folder, and nowhere else: a name may lead to anything on this machine."""
    from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

    folder, total = path.parent.resolve(), path.stat().st_size
    files = {ExternalDataInfo(one).location for one in _tensors(model) if uses_external_data(one)}
    for name in sorted(files):
        beside = path.parent / name
        if Path(name).is_absolute() or not beside.resolve().is_relative_to(folder):
            raise ModelError(f"names weights outside its folder ('{name}'), and was not loaded")
        if not beside.is_file():
            raise ModelError(f"keeps weights in '{name}', which is missing; copy it into the same folder")
        total += regular(beside, _LARGEST - total).stat().st_size
    load_external_data_for_model(model, str(folder))


def _tensors(message: Any) -> list[Any]:
    """Every tensor in a model, those inside attributes and inner graphs too."""
    if message.DESCRIPTOR.name == "TensorProto":
        return [message]
    inner = (value for field, value in message.ListFields() if field.message_type is not None)
    parts = (part for value in inner for part in (value if hasattr(value, "__len__") else [value]))
    return [tensor for part in parts if hasattr(part, "DESCRIPTOR") for tensor in _tensors(part)]


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}" if str(error).strip() else repr(error)


def content(model: ModelProto) -> str:
    """A hash of what is computed: not who wrote the file, where, or from which lines of code."""
    import onnx

    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for name in ("producer_name", "producer_version", "doc_string", "metadata_props", "domain", "model_version"):
        plain.ClearField(name)
    for node in plain.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    for tensor in _tensors(plain):
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()


def face(model: ModelProto, output: str | None) -> Face:
    """What the graph takes, and the output that holds the logits. Raises ModelError."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise ModelError(f"takes {len(inputs)} inputs ({', '.join(one.name for one in inputs)}), expected images alone")
    kind = inputs[0].type.tensor_type
    if kind.elem_type not in _TYPES:
        raise ModelError(
            f"takes images of type {_type_name(kind.elem_type)}, expected float32, float16 or float64: rounding them "
            "gives no gradient; export it from where its input is still a float"
        )
    dims = tuple(dim.dim_value or None for dim in kind.shape.dim)
    outputs = tuple(value.name for value in model.graph.output)
    return Face(inputs[0].name, dims, _TYPES[kind.elem_type], _logits(model, output, outputs), outputs)


def _type_name(number: int) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(number)).lower()


def _logits(model: ModelProto, output: str | None, outputs: tuple[str, ...]) -> str:
    """The value that is read as logits: the one that is named, `logits`, or the first that is no softmax."""
    makers = {name: node for node in model.graph.node for name in node.output}
    if output is not None and output not in makers:
        raise ModelError(f"makes no value '{output}'; its outputs are {', '.join(outputs)}")
    name = output or ("logits" if "logits" in outputs else outputs[0])
    maker = makers.get(name)
    if maker is not None and maker.op_type in {"Softmax", "Sigmoid"}:
        raise ModelError(
            f"ends in {maker.op_type}, expected logits: say `output: {maker.input[0]}`, which is what goes into it"
        )
    return name


def rewritten(model: ModelProto, name: str) -> ModelProto:
    """The same with the one output `name`, in operators that the converter knows; only what is held against the file.

    What newer versions of an operator add is mostly options that nobody uses, so it is called an older one.
    """
    import onnx
    from onnx import inliner

    shown = with_output(model, name)
    newest = max(one.version for one in shown.opset_import if one.domain in {"", "ai.onnx"})
    if newest <= _KNOWN:
        return shown
    shown = inliner.inline_selected_functions(shown, [("", "Gelu")], exclude=False, inline_schema_functions=True)
    known = {tensor.name: tensor for tensor in shown.graph.initializer}
    known |= {node.output[0]: node.attribute[0].t for node in shown.graph.node if node.op_type == "Constant"}
    for node in shown.graph.node:
        _age(node, known)
    for one in shown.opset_import:
        one.version = min(one.version, _KNOWN) if one.domain in {"", "ai.onnx"} else one.version
    out: onnx.ModelProto = shown
    return out


def _age(node: NodeProto, known: dict[str, Any]) -> None:
    """A node as version 17 has it, where the difference is only how it is written."""
    from onnx import helper, numpy_helper

    kept = [one for one in node.attribute if one.name not in _NEWER]
    del node.attribute[:]
    node.attribute.extend(kept)
    if node.op_type == "CastLike":  # of constants of an inlined function, which are float32 as images are
        node.op_type = "Identity"
        del node.input[1:]
    if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.input) > 1:
        axes = numpy_helper.to_array(known[node.input[1]]).tolist()
        node.attribute.append(helper.make_attribute("axes", axes))
        del node.input[1:]


def with_output(model: ModelProto, name: str) -> ModelProto:
    """The same with one output, a value that it computes."""
    import onnx

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    own = [value for value in shown.graph.output if value.name == name]
    del shown.graph.output[:]
    shown.graph.output.extend(own or [onnx.ValueInfoProto(name=name)])
    return shown
