"""What the graph of an export may contain. A SavedModel is a program: it could also write files when it is loaded.

Only the operations of image models in Keras' layers and functions are allowed, and those of our own decoding. None
reads or writes anything outside the process, except what restores and saves weights; these stay in their own functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from frostline.errors import DataError
from frostline.files import open_regular
from frostline.text import listed

FILE = "saved_model.pb"
_OTHER_GRAPHS = (".pbtxt", ".cpb")  # loaders take one of these instead
_SIGNATURES = ("serving_default", "__saved_model_init_op")
_COLLECTIONS = ("saved_model_main_op",)

_GROUPS = {
    "structure: arguments, constants, control flow, lists of tensors, reading variables": """
        Assert Case CheckNumerics Const EnsureShape Identity IdentityN If NoOp PartitionedCall Placeholder
        PlaceholderWithDefault PreventGradient ReadVariableOp StatefulPartitionedCall StatelessCase StatelessIf
        StatelessWhile StopGradient TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
        TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve TensorListResize
        TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack VarHandleOp While
    """,
    "images and strings, from encoded bytes to pixels": """
        AdjustContrastv2 AdjustHue AdjustSaturation AsString CropAndResize DecodeAndCropJpeg DecodeBmp DecodeGif
        DecodeImage DecodeJpeg DecodePaddedRaw DecodePng DecodeRaw DecodeWebP ExtractJpegShape HSVToRGB
        ImageProjectiveTransformV2 ImageProjectiveTransformV3 RGBToHSV ReduceJoin ResizeArea ResizeBicubic
        ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate StringFormat StringJoin StringLength StringSplitV2
        Substr
    """,
    "layers of networks": """
        AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd Conv2D Conv2DBackpropInput
        Conv3D Conv3DBackpropInputV2 CudnnRNN CudnnRNNV2 CudnnRNNV3 DepthToSpace DepthwiseConv2dNative Dilation2D
        Einsum Elu ExtractImagePatches ExtractVolumePatches FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
        FakeQuantWithMinMaxVarsPerChannel FractionalAvgPool FractionalMaxPool FusedBatchNorm FusedBatchNormV2
        FusedBatchNormV3 L2Loss LRN LeakyRelu LogSoftmax MatMul MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Relu
        Relu6 Selu Sigmoid Softmax SoftmaxCrossEntropyWithLogits Softplus Softsign SpaceToBatchND SpaceToDepth
        SparseSoftmaxCrossEntropyWithLogits Tanh XlaDynamicUpdateSlice
    """,
    "arithmetic, element by element": """
        Abs Acos Acosh Add AddN AddV2 Angle Asin Asinh Atan Atan2 Atanh BesselI0 BesselI0e BesselI1 BesselI1e Bitcast
        BitwiseAnd BitwiseOr BitwiseXor Bucketize Cast Ceil ClipByValue Complex ComplexAbs Conj Cos Cosh Digamma Div
        DivNoNan Equal Erf Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Imag Inv Invert IsFinite
        IsInf IsNan LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr Maximum Minimum Mod Mul
        MulNoNan Ndtri Neg NextAfter NotEqual Polygamma PopulationCount Pow Real RealDiv Reciprocal RightShift Rint
        Round Rsqrt Select SelectV2 Sign Sin Sinh Sqrt Square SquaredDifference Sub Tan TruncateDiv TruncateMod Xdivy
        Xlog1py Xlogy Zeta
    """,
    "sums and other reductions, sorting, counting": """
        All Any ApproximateEqual ArgMax ArgMin Bincount Cumprod Cumsum CumulativeLogsumexp DenseBincount EuclideanNorm
        InTopKV2 LowerBound Max Mean Min Prod SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Sum TopK TopKV2
        UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum UpperBound
    """,
    "shapes, slices and layout": """
        BroadcastArgs BroadcastTo Concat ConcatV2 DynamicPartition DynamicStitch Empty ExpandDims Fill Gather GatherNd
        GatherV2 InvertPermutation LinSpace ListDiff MirrorPad OneHot OnesLike Pack Pad PadV2 ParallelDynamicStitch
        Range Rank Reshape ReverseSequence ReverseV2 Roll ScatterNd ScatterNdNonAliasingAdd Shape ShapeN Size Slice
        Split SplitV Squeeze StridedSlice TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
        TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose Unique UniqueV2 UniqueWithCounts
        UniqueWithCountsV2 Unpack UnravelIndex Where ZerosLike
    """,
    "linear algebra and spectra": """
        BandedTriangularSolve Cholesky Cross Diag DiagPart Eig FFT FFT2D FFT3D IFFT IFFT2D IFFT3D IRFFT IRFFT2D
        IRFFT3D LogMatrixDeterminant Lu MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2
        MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixExponential MatrixInverse MatrixLogarithm MatrixSetDiag
        MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Qr RFFT
        RFFT2D RFFT3D SelfAdjointEigV2 Svd TridiagonalSolve
    """,
    "random numbers that follow from a seed": """
        StatelessMultinomial StatelessRandomBinomial StatelessRandomGammaV3 StatelessRandomGetAlg
        StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2
        StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt
        StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal
        StatelessTruncatedNormalV2
    """,
}
ALLOWED = frozenset(" ".join(_GROUPS.values()).split())
_RESTORING = ALLOWED | {"AssignVariableOp", "RestoreV2"}
_SAVING = ALLOWED | {
    *("DisableCopyOnRead", "MergeV2Checkpoints", "SaveV2", "ShardedFilename", "StaticRegexFullMatch"),
}


def read(directory: Path) -> Any:
    """The graph of a SavedModel, a MetaGraphDef, if it may be loaded.

    Raises:
        DataError: there is none, it cannot be read, or it has anything that exports do not need: another operation, a
            file that is not the caller's, a further signature, graph or asset, or another form of the file.
    """
    problem = next(_problems_of_files(directory), "")
    if not problem:
        try:
            with open_regular(directory / FILE) as file:
                saved = saved_model_pb2.SavedModel.FromString(file.read())
        except FileNotFoundError:
            problem = f"there is no {FILE}"
        except DecodeError:
            problem = f"{FILE} is damaged"
        else:
            problem = next(_problems(saved), "")
    if problem:
        raise DataError(f"{directory}: cannot be served: {problem}")
    return saved.meta_graphs[0]


def refused(graph: Any) -> list[str]:
    """The operations of a GraphDef, with those of its functions, that an export may not have."""
    functions = graph.library.function
    found = {node.op for nodes in (graph.node, *(one.node_def for one in functions)) for node in nodes}
    return sorted(found - ALLOWED - {one.signature.name for one in functions})


def _problems_of_files(directory: Path) -> Iterator[str]:
    for path in sorted(directory.glob("*")):
        if path.suffix in _OTHER_GRAPHS:
            yield f"it has {path.name} besides {FILE}"


def _problems(saved: Any) -> Iterator[str]:
    if len(saved.meta_graphs) != 1:
        yield f"{FILE} has {len(saved.meta_graphs)} graphs; expected one"
        return
    meta = saved.meta_graphs[0]
    for problem in _Graph(meta).problems():
        yield f"{problem}, which exports have no need of"
    for kind, found, known in (
        ("signature", meta.signature_def, _SIGNATURES),
        ("collection", meta.collection_def, _COLLECTIONS),
        ("tag", meta.meta_info_def.tags, ("serve",)),
        ("asset", [asset.filename for asset in meta.asset_file_def], ()),
        ("gradient", [one.function_name for one in meta.graph_def.library.gradient], ()),
    ):
        for name in sorted(set(found) - set(known)):
            yield f"{FILE} has the {kind} {name!r}, which exports have no need of"


class _Graph:
    """A graph, its functions, and which of them restore weights, save weights, or do anything else."""

    def __init__(self, meta: Any) -> None:
        self._meta, self._nodes = meta, meta.graph_def.node
        library = meta.graph_def.library.function
        self._functions = {one.signature.name: one.node_def for one in library}
        self._arguments = {one.signature.name: [it.name for it in one.signature.input_arg] for one in library}
        self._twice = len(self._functions) < len(library)
        self._concrete = meta.object_graph_def.concrete_functions.keys()  # what tf.saved_model.load offers
        self._save = meta.saver_def.save_tensor_name.partition(":")[0]
        self._restore = meta.saver_def.restore_op_name

    def problems(self) -> Iterator[str]:
        saving = self._called_by(node for node in self._nodes if node.name == self._save)
        restoring = self._called_by(node for node in self._nodes if node.name == self._restore)
        others = (self._functions.keys() - saving - restoring) | self._functions.keys() & self._concrete
        served = [node for node in self._nodes if node.name not in (self._save, self._restore)]
        serving = others | self._called_by([*served, *(node for name in others for node in self._functions[name])])
        yield from self._not_allowed(f"the graph in {FILE}", self._nodes, ALLOWED)
        for name, nodes in sorted(self._functions.items()):
            roles = {
                _SAVING: name in saving,
                _RESTORING: name in restoring,
                ALLOWED: name in serving,
            }
            allowed = frozenset.intersection(*(one for one, applies in roles.items() if applies))
            yield from self._not_allowed(f"the function {name!r} in {FILE}", nodes, allowed)
        yield from self._uses_of_the_saver(restoring)
        if self._twice:
            yield f"{FILE} has two functions of one name"

    def _called_by(self, nodes: Iterable[Any]) -> set[str]:
        """The functions that some nodes call, and those that these call."""
        called, waiting = set[str](), list(nodes)
        while waiting:
            node = waiting.pop()
            for name in (node.op, *_function_names(node.attr)):
                if name in self._functions and name not in called:
                    called.add(name)
                    waiting.extend(self._functions[name])
        return called

    def _not_allowed(self, where: str, nodes: Iterable[Any], allowed: frozenset[str]) -> Iterator[str]:
        extra = {node.op for node in nodes} - allowed - self._functions.keys()
        if extra:
            yield f"{where} has the operation {listed(sorted(extra))}"

    def _uses_of_the_saver(self, restoring: set[str]) -> Iterator[str]:
        """Where more is saved or restored than a caller of the saver wants, or another file is read."""
        ends = [one.name for signature in self._meta.signature_def.values() for one in signature.outputs.values()]
        ends += [name for one in self._meta.collection_def.values() for name in one.node_list.value]
        used = {_node(name) for name in (*ends, *(name for node in self._nodes for name in node.input))}
        if self._save == self._restore or used & {self._save, self._restore}:
            yield f"{FILE} saves or restores weights in the course of something else"
        file = _node(self._meta.saver_def.filename_tensor_name)
        callers = [node for node in self._nodes if node.name == self._restore]
        readers = [(name, node) for name in restoring for node in self._functions[name] if node.op == "RestoreV2"]
        if any(list(node.input[:1]) != [file] for node in callers) or any(
            list(node.input[:1]) != self._arguments[name][:1] for name, node in readers
        ):
            yield f"{FILE} restores weights from a file of its own choice"


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _function_names(attributes: Any) -> Iterator[str]:
    """The functions in the attributes of a node, at any depth."""
    for value in attributes.values():
        for one in (value.func, *value.list.func):
            yield one.name
            yield from _function_names(one.attr)
