"""An ONNX graph as data: its one input, the output that is meant, and the part of the graph that makes it."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.core.errors import ModelError, some
from holdfast.core.extras import need

if TYPE_CHECKING:
    from holdfast.models.outputs import Output

FLOATS = {1: "float32", 10: "float16", 11: "float64"}
"""Element types of numbers that a model may be asked with, as `TensorProto` counts them."""

ENDINGS = ("Softmax", "LogSoftmax", "Sigmoid")
CLASSIFIERS = ("TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier")
WORDS = ("logit", "prob", "score")
"""What tells the scores among several outputs of floating numbers, the first word that fits exactly one name."""

EXTRA = "onnx"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inlet:
    """The one input of a model.

    Args:
        name: As the graph calls it.
        dtype: Of its numbers.
        shape: Its sizes, the batch first, None for those that are free; None where nothing is said.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def batch(self) -> int | None:
        """Rows that are asked at once; None for any number."""
        return self.shape[0] if self.shape else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outlet:
    """The outputs that a classifier is read from.

    Args:
        scores: Name of the value with a column a class; empty for a model of labels alone.
        kind: What the scores are; None to see it on the first batch.
        label: Name of the value with the model's own decision; empty where there is none that can be read.
        names: The classes in the order of the columns, as the label calls them; empty where the graph does not say.
        note: The rule that chose, in words.
    """

    scores: str
    kind: "Output | None"
    label: str = ""
    names: tuple[Any, ...] = ()
    note: str = ""


def attributes(node: Any) -> dict[str, Any]:
    """Name -> value of a node's attributes, texts as str."""
    value = need("onnx.helper", EXTRA).get_attribute_value
    return {one.name: _plain(value(one)) for one in node.attribute}


def inlet_of(model: Any) -> Inlet:
    """The input of a ModelProto.

    Raises:
        ModelError: HF273 for several inputs, and for one that is no batch of floating numbers.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise several(inputs)
    tensor = inputs[0].type.tensor_type
    sizes = tuple(one.dim_value if one.dim_value > 0 else None for one in tensor.shape.dim)
    kind = FLOATS.get(tensor.elem_type, inputs[0].type.WhichOneof("value") or "nothing")
    if inputs[0].type.HasField("tensor_type") and tensor.elem_type not in FLOATS:
        kind = need("onnx", EXTRA).TensorProto.DataType.Name(tensor.elem_type).lower()
    return checked(inputs[0].name, kind, sizes if tensor.HasField("shape") else None)


def checked(name: str, kind: str, shape: tuple[int | None, ...] | None) -> Inlet:
    """An input that holds a batch of floating numbers.

    Raises:
        ModelError: HF273 for anything else.
    """
    if kind not in FLOATS.values() or (shape is not None and len(shape) < 2):
        raise ModelError(
            "HF273",
            "The ONNX model does not take a batch of floating numbers",
            seen=f"'{name}' of {kind}, shape {shape}",
            expected="float16, float32 or float64, the batch first",
            fix="export it with a float input; or wrap a function that prepares the rows and asks onnxruntime",
        )
    return Inlet(name=name, dtype=kind, shape=shape)


def several(inputs: Sequence[Any]) -> ModelError:
    """HF273, what is said of a model with no input or several."""
    return ModelError(
        "HF273",
        f"The ONNX model has {len(inputs)} inputs",
        seen=some(f"'{one.name}'" for one in inputs) or "none",
        expected="one, with a row for each sample",
        fix="export it with one input (skl2onnx: one FloatTensorType of all columns); or wrap a function that splits x",
    )


def makers(graph: Any) -> dict[str, Any]:
    """Name of a value -> the node that makes it."""
    return {name: node for node in graph.node for name in node.output if name}


def through(graph: Any, name: str, pass_by: Sequence[str] = ("Identity",)) -> tuple[str, Any]:
    """The value that stands behind a name when some operators are passed by, and its maker; None for an input."""
    made = makers(graph)
    seen = set()
    while name in made and made[name].op_type in pass_by and name not in seen:
        seen.add(name)
        name = made[name].input[0]
    return name, made.get(name)


def outlet_of(model: Any, output: "Output | None") -> Outlet:
    """Which output means what, by rules that a person can say in advance.

    A ZipMap (one dictionary a row) stands for the tensor that goes into it. Whole numbers and texts are labels: the
    model's own decision, where the graph names its classes. The one output of floating numbers holds the scores; of
    several the one whose name says logit, else prob, else score. A Softmax, LogSoftmax or Sigmoid at its end is cut
    open. Trees and linear classifiers that say what they make are believed.

    Raises:
        ModelError: HF274 where these rules leave several or none, HF204 for output="logits" behind a softmax.
    """
    graph, made = model.graph, makers(model.graph)
    scores, labels = list[str](), list[str]()
    names = named_classes(graph)
    for value in graph.output:
        node = made.get(value.name)
        if node is not None and node.op_type == "ZipMap":
            scores.append(node.input[0])
        elif not value.type.HasField("tensor_type"):
            continue
        else:
            whole = value.type.tensor_type.elem_type not in (*FLOATS, 0)
            (labels if whole else scores).append(value.name)
    if labels and (output == "labels" or not scores):
        return Outlet(scores="", kind="labels", label=_one(labels, labels), names=names)
    chosen = _one(scores, [value.name for value in graph.output])
    label = labels[0] if len(labels) == 1 and names else ""
    found = Outlet(scores=chosen, kind=output, label=label, names=names)
    if len(scores) > 1:
        found = dataclasses.replace(found, note=f"of {len(scores)} outputs '{chosen}' was taken for the scores")
    return found if output == "labels" else _opened(graph, found)


def _opened(graph: Any, outlet: Outlet) -> Outlet:
    """The outlet before a softmax or sigmoid at the end; and what is known of the numbers there."""
    name, node = through(graph, outlet.scores)
    if node is None:
        return outlet
    if node.op_type in ENDINGS and attributes(node).get("axis", -1) in (1, -1):
        if outlet.kind == "logits":
            raise ModelError(
                "HF204",
                f"The graph ends in {node.op_type}, so its outputs are no logits",
                seen='output="logits"',
                fix="leave output= away",
            )
        if outlet.kind is None:
            note = f"the {node.op_type} at the end was cut open: scores are what goes into it"
            return dataclasses.replace(outlet, scores=node.input[0], kind="logits", note=note)
    _, before = through(graph, name, ("Identity", "Cast", "Normalizer"))
    if outlet.kind is None and before is not None and _probabilities(before):
        return dataclasses.replace(outlet, kind="probabilities")
    return outlet


def unlinked(model: Any, outlet: Outlet) -> tuple[Any, Outlet]:
    """The model with the sums of a linear classifier at its end beside their softmax or logistic function.

    Their order is that of the probabilities, whatever length a Normalizer gives these. The model itself stays as it is.
    """
    name, node = through(model.graph, outlet.scores, ("Identity", "Normalizer"))
    if node is None or node.op_type != "LinearClassifier" or outlet.kind != "probabilities":
        return model, outlet
    made = need("onnx", EXTRA).ModelProto()
    made.CopyFrom(model)
    sums = made.graph.node.add()
    sums.CopyFrom(node)
    sums.name, sums.output[:] = "", [f"{one}/before the link" for one in node.output]
    for one in sums.attribute:
        if one.name == "post_transform":
            link, one.s = one.s.decode(), b"NONE"
    note = f"the {link} of the LinearClassifier at the end was cut open: scores are what goes into it"
    at = list(node.output).index(name)
    return made, dataclasses.replace(outlet, scores=sums.output[at], kind="logits", note=note)


def _probabilities(node: Any) -> bool:
    """Whether a classifier's own attributes say that it makes probabilities, or sums of shares as a forest does."""
    said = attributes(node)
    after = said.get("post_transform", "NONE")
    if node.op_type == "TreeEnsembleClassifier" and after == "NONE":
        return all(weight >= 0 for weight in said.get("class_weights", ())) and "class_weights" in said
    return node.op_type in CLASSIFIERS[:2] and after in ("LOGISTIC", "SOFTMAX")


def named_classes(graph: Any) -> tuple[Any, ...]:
    """What the graph calls its classes in the order of the columns; empty where nothing or several things are said."""
    told = set[tuple[Any, ...]]()
    for node in graph.node:
        if node.op_type == "ZipMap" or node.op_type in CLASSIFIERS:
            said = attributes(node)
            for key in ("classlabels_int64s", "classlabels_ints", "classlabels_strings"):
                if said.get(key):
                    told.add(tuple(said[key]))
    zipped = [node for node in graph.node if node.op_type == "ZipMap"]
    if len(told) > 1 and len(zipped) == 1:
        said = attributes(zipped[0])
        return tuple(said.get("classlabels_int64s") or said.get("classlabels_strings") or ())
    return told.pop() if len(told) == 1 else ()


def extracted(model: Any, names: Sequence[str]) -> Any:
    """A ModelProto of its own with these values as outputs and nothing that they do not need."""
    onnx = need("onnx", EXTRA)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    known = {value.name: value for value in (*model.graph.output, *model.graph.value_info)}
    del graph.output[:]
    for name in names:
        graph.output.append(known.get(name) or onnx.ValueInfoProto(name=name))
    wanted, kept = set(names), list[Any]()
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(read_by(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    return made


def read_by(node: Any) -> Iterator[str]:
    """Values that a node reads, those that graphs inside it read from outside as well."""
    yield from node.input
    for one in node.attribute:
        for inner in (one.g, *one.graphs) if one.HasField("g") or one.graphs else ():
            for deeper in inner.node:
                yield from read_by(deeper)
            yield from (value.name for value in inner.output)


def _one(names: Sequence[str], among: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    for word in WORDS:
        fitting = [name for name in names if word in name.lower()]
        if len(fitting) == 1:
            return fitting[0]
    raise ModelError(
        "HF274",
        "Nothing tells which output of the ONNX model holds the scores",
        seen=some(f"'{name}'" for name in among) or "no output of numbers",
        expected="one output of floating numbers, or one whose name says logit, prob or score",
        fix="onnx.utils.extract_model(path, 'one.onnx', [input], [the output of scores])",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return [one.decode("utf-8", "replace") for one in value]
    return value
