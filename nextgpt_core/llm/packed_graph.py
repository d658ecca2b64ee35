"""The network of a block-quantized Llama as graphs for onnxruntime: 4 bits stay 4 bits, and nothing is rounded a second time.

onnxruntime's `MatMulNBits` multiplies by `scale * (q - 8)`. What the file holds is `scale * q + minimum`, so each product is two: that one,
and the sums of the input's blocks of 32 times `minimum + 8 * scale`, in float32. A LoRA adapter is two thin float32 products beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor

from nextgpt_core.errors import ConfigError
from nextgpt_core.llm.adapter import Adapter
from nextgpt_core.llm.block_quantized import BLOCK, Blocks

# How MatMulNBits computes: from float32 inputs with the weights unpacked on the way, or with each block of 32 inputs rounded to 8 bits.
FLOAT, INT8 = 1, 4
_MICROSOFT = "com.microsoft"
_OPSETS = (helper.make_opsetid("", 21), helper.make_opsetid(_MICROSOFT, 1))
_IR_VERSION = 10
_SMALL = 1024  # bytes: what shape inference must see is in the graph itself


@dataclass(frozen=True)
class Shape:
    """The numbers of a Llama that its graph is made from."""

    layers: int
    width: int
    inner: int  # of the feed-forward part
    heads: int
    groups: int  # key-value heads
    head_width: int
    epsilon: float
    theta: float  # of the rotary positions
    positions: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Shape":
        """From a config.json. Raises ConfigError for what these graphs do not compute."""
        heads = config["num_attention_heads"]
        rope = config.get("rope_parameters") or {"rope_type": "default", "rope_theta": config.get("rope_theta", 10000.0)}
        usual = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
        strange = [f"{key} {config[key]!r}" for key, value in usual.items() if config.get(key, value) != value]
        strange += [] if rope.get("rope_type", "default") == "default" else [f"rope_type {rope['rope_type']!r}"]
        strange += [] if config.get("tie_word_embeddings") else ["a head that is not tied to the embeddings"]
        if strange:
            raise ConfigError(f"A packed language model cannot have {', '.join(strange)}; choose another --precision.")
        return cls(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            inner=config["intermediate_size"],
            heads=heads,
            groups=config.get("num_key_value_heads") or heads,
            head_width=config.get("head_dim") or config["hidden_size"] // heads,
            epsilon=config["rms_norm_eps"],
            theta=rope["rope_theta"],
            positions=config["max_position_embeddings"],
        )

    @property
    def caches(self) -> tuple[str, ...]:
        """The key and value caches by name; each is [b, groups, capacity, head_width]."""
        return tuple(f"{kind}.{layer}" for layer in range(self.layers) for kind in ("keys", "values"))

    @property
    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """Name -> out, in."""
        queries, keys = self.heads * self.head_width, self.groups * self.head_width
        each = {
            "self_attn.q_proj": (queries, self.width),
            "self_attn.k_proj": (keys, self.width),
            "self_attn.v_proj": (keys, self.width),
            "self_attn.o_proj": (self.width, queries),
            "mlp.gate_proj": (self.inner, self.width),
            "mlp.up_proj": (self.inner, self.width),
            "mlp.down_proj": (self.width, self.inner),
        }
        return {f"layers.{layer}.{name}": shape for layer in range(self.layers) for name, shape in each.items()}

    @property
    def norms(self) -> tuple[str, ...]:
        each = (f"layers.{layer}.{name}" for layer in range(self.layers) for name in ("input_layernorm", "post_attention_layernorm"))
        return (*each, "norm")


class Graph:
    """Nodes and their constants, as they are put together, between inputs and outputs."""

    def __init__(self) -> None:
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def node(self, kind: str, inputs: Sequence[str], outputs: Sequence[str] = (), *, domain: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its first output."""
        outputs = outputs or [f"made.{len(self._nodes)}"]
        self._nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, value: NDArray[Any] | Tensor) -> str:
        """Add a constant, unless there is one of this name; returns the name."""
        if name not in self._constants:
            self._constants[name] = np.ascontiguousarray(value.numpy() if isinstance(value, Tensor) else value)
        return name

    def linear(self, inputs: str, name: str, weights: Sequence[Blocks], adapters: Sequence[Adapter | None] = ()) -> str:
        """The outputs [b, n, sum of out] of linear layers that share their inputs [b, n, in], side by side, adapters included."""
        product = self._product(inputs, name, weights)
        count = weights[0].shape[1] // BLOCK
        minima = [_minima(blocks) for blocks in weights if blocks.minimum is not None]
        leave = torch.cat(minima).T if minima else torch.zeros(0, sum(blocks.shape[0] for blocks in weights))  # [count or 0, out]
        if any(adapters):
            sums = torch.eye(count).repeat_interleave(BLOCK, 0)[:, : len(leave)]  # [in, count or 0]
            enter = torch.cat((sums, *(adapter.down.T for adapter in adapters if adapter is not None)), dim=1)
            up = torch.block_diag(*(torch.zeros(blocks.shape[0], 0) if a is None else a.up for blocks, a in zip(weights, adapters)))
            thin = self.node("MatMul", [inputs, self.constant(f"{name}.enter", enter)])
            leave = torch.cat((leave, up.T))  # [count or 0 + ranks, out]
        elif minima:
            parted = self.node("Reshape", [inputs, self.constant(f"parted.{count}", np.array([0, 0, count, BLOCK]))])
            thin = self.node("ReduceSum", [parted, self.constant("last axis", np.array([3]))], keepdims=0)
        else:
            return product
        return self.node("Add", [product, self.node("MatMul", [thin, self.constant(f"{name}.leave", leave)])])

    def _product(self, inputs: str, name: str, weights: Sequence[Blocks]) -> str:
        """Inputs times `scale * (q - 8)` of 4 bits, or times `scale * q` of 8."""
        quants = np.concatenate([_packed(blocks) for blocks in weights])
        scale = torch.cat([blocks.scale.float() for blocks in weights])
        out, count = scale.shape
        return self.node(
            "MatMulNBits",
            [inputs, self.constant(f"{name}.quants", quants), self.constant(f"{name}.scale", scale)],
            domain=_MICROSOFT,
            K=count * BLOCK,
            N=out,
            bits=weights[0].bits,
            block_size=BLOCK,
        )

    def norm(self, name: str, inputs: str, weight: Tensor, *, epsilon: float, beside: str = "", total: str = "") -> str:
        """The root-mean-square norm of `inputs`, or of `inputs + beside`, which is then also there as `total`."""
        if not beside:
            return self.node("SimplifiedLayerNormalization", [inputs, self.constant(f"{name}.weight", weight)], axis=-1, epsilon=epsilon)
        outputs = [f"{name}.out", "", "", total] if total else [f"{name}.out"]
        parts = [inputs, beside, self.constant(f"{name}.weight", weight)]
        return self.node("SkipSimplifiedLayerNormalization", parts, outputs, domain=_MICROSOFT, epsilon=epsilon)

    def session(self, arithmetic: int, *, threads: int) -> onnxruntime.InferenceSession:
        """Ready to run, with FLOAT or INT8 arithmetic. The constants need not be kept."""
        inside, outside = [], {}
        for name, value in self._constants.items():
            if value.nbytes < _SMALL:
                inside.append(onnx.numpy_helper.from_array(value, name))
                continue
            proto = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(value.dtype), dims=value.shape)
            proto.data_location = TensorProto.EXTERNAL
            proto.external_data.add(key="location", value="memory")
            inside.append(proto)
            outside[name] = onnxruntime.OrtValue.ortvalue_from_numpy(value)
        model = helper.make_model(
            helper.make_graph(self._nodes, "llama", self.inputs, self.outputs, inside), opset_imports=_OPSETS, ir_version=_IR_VERSION
        )
        for node in model.graph.node:
            if node.op_type == "MatMulNBits":
                node.attribute.append(helper.make_attribute("accuracy_level", arithmetic))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a thread that waits leaves the core to others
        options.log_severity_level = 3  # errors
        options.add_external_initializers(list(outside), list(outside.values()))
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def network_graph(shape: Shape, weights: Mapping[str, Blocks | Tensor], adapters: Mapping[str, Adapter]) -> Graph:
    """The layers and the final norm.

    Takes `embeddings` [b, n, d], `last` int32 [b] (each row's length after this pass, less one), `total` int32 [1] (the greatest length)
    and the caches (Shape.caches); gives `states` [b, n, d] and each cache as `new.…`, which must be bound to the same memory.
    """
    graph = Graph()
    angles = np.arange(shape.positions)[:, None] / shape.theta ** (np.arange(0, shape.head_width, 2) / shape.head_width)
    turns = [graph.constant(name, f(angles).astype(np.float32)) for name, f in (("cosines", np.cos), ("sines", np.sin))]

    def linear(inputs: str, layer: int, part: str, *names: str) -> str:
        paths = [f"layers.{layer}.{part}.{name}" for name in names]
        blocks = [weights[f"{path}.weight"] for path in paths]
        return graph.linear(inputs, f"{layer}.{names[0]}", blocks, [adapters.get(path) for path in paths])  # type: ignore[arg-type]

    def norm(name: str, inputs: str, **options: str) -> str:
        weight = weights[f"{name}.weight"]
        assert isinstance(weight, Tensor)
        return graph.norm(name, inputs, weight, epsilon=shape.epsilon, **options)

    stream, change = "embeddings", ""  # what runs through all layers, and what the last part adds to it
    for layer in range(shape.layers):
        name = f"layers.{layer}.input_layernorm"
        normed = norm(name, stream, beside=change, total=f"{layer}.read") if change else norm(name, stream)
        stream = f"{layer}.read" if change else stream
        qkv = linear(normed, layer, "self_attn", "q_proj", "k_proj", "v_proj")
        caches = [f"keys.{layer}", f"values.{layer}"]
        attended = graph.node(
            "GroupQueryAttention",
            [qkv, "", "", *caches, "last", "total", *turns],
            [f"{layer}.attended", *(f"new.{name}" for name in caches)],
            domain=_MICROSOFT,
            num_heads=shape.heads,
            kv_num_heads=shape.groups,
            do_rotary=1,
        )
        change = linear(attended, layer, "self_attn", "o_proj")
        normed = norm(f"layers.{layer}.post_attention_layernorm", stream, beside=change, total=f"{layer}.attended.total")
        stream = f"{layer}.attended.total"
        halves = [f"{layer}.gate", f"{layer}.up"]
        graph.node("Split", [linear(normed, layer, "mlp", "gate_proj", "up_proj")], halves, axis=-1, num_outputs=2)
        gate = graph.node("QuickGelu", halves[:1], domain=_MICROSOFT, alpha=1.0)  # x * sigmoid(x)
        inner = graph.node("Mul", [gate, halves[1]])
        change = linear(inner, layer, "mlp", "down_proj")
    graph.node("Identity", [norm("norm", stream, beside=change)], ["states"])

    cache = ("b", shape.groups, "capacity", shape.head_width)
    states = ("b", "n", shape.width)
    graph.inputs += [_value("embeddings", states), _value("last", ("b",), TensorProto.INT32), _value("total", (1,), TensorProto.INT32)]
    graph.inputs += [_value(name, cache) for name in shape.caches]
    graph.outputs += [_value("states", states), *(_value(f"new.{name}", cache) for name in shape.caches)]
    return graph


def head_graph(table: Blocks, added: Tensor) -> Graph:
    """`states` [1, n, d] -> `scores` [1, n, vocabulary + added]: the stored table, and the added tokens' rows [added, d] in float32."""
    graph = Graph()
    scores = graph.linear("states", "table", [table])
    if len(added):
        own = graph.node("MatMul", ["states", graph.constant("added", added.T)])
        scores = graph.node("Concat", [scores, own], axis=-1)
    graph.node("Identity", [scores], ["scores"])
    rows, width = table.shape
    graph.inputs.append(_value("states", (1, "n", width)))
    graph.outputs.append(_value("scores", (1, "n", rows + len(added))))
    return graph


def _minima(blocks: Blocks) -> Tensor:
    """What is left of the values of 4 bits once `scale * (q - 8)` is taken off, float32 [rows, blocks]."""
    assert blocks.minimum is not None
    return blocks.minimum.float() + 8 * blocks.scale.float()


def _packed(blocks: Blocks) -> NDArray[np.uint8]:
    """The numbers as MatMulNBits wants them, uint8 [rows, blocks, bytes]: elements 2j and 2j + 1 in byte j, or of 8 bits 128 more."""
    rows, count = blocks.scale.shape
    if blocks.bits == 8:
        return (blocks.quants.numpy().view(np.uint8) ^ 128).reshape(rows, count, BLOCK)
    stored = blocks.quants.numpy().view("<u2").reshape(rows, count, BLOCK // 4)  # elements j, j + 16, j + 1, j + 17 from the lowest bits on
    packed = np.empty((rows, count, BLOCK // 2), np.uint8)
    packed[..., : BLOCK // 4] = (stored & 0xF) | (stored >> 4 & 0xF0)
    packed[..., BLOCK // 4 :] = (stored >> 4 & 0xF) | (stored >> 8 & 0xF0)
    return packed


def _value(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
