"""The numbers of a model card: how good the model is, compared with what, its limits, and what serving costs."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.artifacts import Json
from frostline.reporting.markup import Chapter, Code, Table

_EXAMPLE = """import tensorflow as tf

serve = tf.saved_model.load("this/directory").signatures["serving_default"]
answer = serve(image_bytes=tf.constant([open("photo.jpg", "rb").read()]))
answer["label"], answer["probabilities"]"""


def sections(evaluation: Json, notes: Sequence[str]) -> list[Chapter]:
    """How good it is, how it compares, its limits and how to serve it, from evaluation.json and the gate's notes."""
    return [_measures(evaluation), _champion(evaluation), _limits(evaluation, notes), _serving(evaluation)]


def _measures(evaluation: Json) -> Chapter:
    level = f"{100 * evaluation['confidence']:g} % interval"
    split = evaluation["test_split"]
    reuse = (
        f"This test split had decided {split['promotions']} promotion{'s' if split['promotions'] > 1 else ''} before."
        if split["promotions"]
        else "This test split had decided no promotion before."
    )
    leaked = evaluation["leaked"]
    leak = f"{leaked:,} of which were" if leaked else "none of which was"
    classes = [
        (row["label"], f"{row['examples']:,}", _rate(row["precision"]), _rate(row["recall"]), f"{row['f1']:.3f}")
        for row in evaluation["per_class"]
    ]
    blocks: list[str | list[str] | Table] = [
        f"On {evaluation['examples']:,} test images, {leak} in its training or validation split or that of a "
        f"version that it started from: original bytes through the exported model. {reuse}",
        Table(("measure", "value", level, "interval by"), _overall(evaluation)),
        "By class:",
        Table(("class", "images", "precision", "recall", "F1"), classes),
    ]
    if evaluation["slices"]:
        slices = [
            (row["column"], row["value"] or "(none)", f"{row['examples']:,}", _rate(row["accuracy"]))
            for row in evaluation["slices"]
        ]
        blocks += ["By what is known of the images:", Table(("column", "value", "images", "accuracy"), slices, 2)]
    return Chapter("How good it is", blocks)


def _overall(evaluation: Json) -> list[tuple[str, ...]]:
    shares = {
        "accuracy": evaluation["accuracy"],
        f"right within its first {evaluation['top_k']['k']}": evaluation["top_k"],
        "macro F1": evaluation["macro_f1"],
        "expected calibration error": evaluation["calibration_error"],
    }
    others = {"log loss (nats)": evaluation["log_loss"], "Brier score (0 to 2)": evaluation["brier"]}
    return [
        *((name, _percent(one["value"]), _span(one), one["method"].replace("_", " ")) for name, one in shares.items()),
        *(
            (name, f"{one['value']:.4f}", f"{one['low']:.4f} to {one['high']:.4f}", one["method"].replace("_", " "))
            for name, one in others.items()
        ),
    ]


def _champion(evaluation: Json) -> Chapter:
    champion, title = evaluation["champion"], "Against the model that served before"
    if champion is None:
        return Chapter(title, ["No model served before it."])
    if not champion["comparable"]:
        return Chapter(
            title, [f"It could not be compared with version {champion['version']}: {champion['reason'].rstrip('.')}."]
        )
    sentence = (
        f"On the same {champion['examples']:,} images {_percent(champion['challenger_accuracy']['value'])} are right, "
        f"of version {champion['version']} {_percent(champion['accuracy']['value'])}: a difference of "
        f"{_points(champion['difference'])}. {champion['only_challenger_right']:,} images only this model got right, "
        f"{champion['only_champion_right']:,} only version {champion['version']}; McNemar's exact two-sided p is "
        f"{champion['p_value']:.3g}."
    )
    if champion["excluded"]:
        sentence += (
            f" {champion['excluded']:,} test images are left out: version {champion['version']} was made with "
            f"{champion['made_with']:,} of them, and does not know the label of "
            f"{champion['excluded'] - champion['made_with']:,}."
        )
    blocks: list[str | list[str] | Table] = [sentence]
    if champion["new_labels"]:
        blocks.append(f"Classes that only this model knows: {', '.join(champion['new_labels'])}.")
    rows = [
        (
            row["column"],
            row["value"] or "(none)",
            f"{row['examples']:,}",
            _points(row["difference"]),
        )
        for row in sorted(champion["slices"], key=lambda row: float(row["difference"]["value"]))
    ]
    if rows:
        blocks.append(Table(("column", "value", "images", "difference"), rows, 2))
    return Chapter(title, blocks)


def _limits(evaluation: Json, notes: Sequence[str]) -> Chapter:
    error = evaluation["calibration_error"]
    limits = [
        "It was measured on images of the same source as its training images. How it does on others was not measured, "
        "nor on images that were altered to deceive it.",
        f"A probability that it gives is off by {100 * error['value']:.1f} points on average (expected calibration "
        f"error, {_span(error)}).",
        "The orientation that a camera notes in EXIF is ignored, transparency (alpha) is dropped, and of an animation "
        "the first frame counts.",
        "One file that is no JPEG, PNG, GIF, BMP or WebP image fails the whole request that it came with.",
    ]
    if not evaluation["slices"]:
        limits.append("The images have no metadata: whether some kinds of them fare worse than others is not known.")
    return Chapter("Limits", [limits + [f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in notes]])


def _serving(evaluation: Json) -> Chapter:
    serving, skew = evaluation["serving"], evaluation["skew"]
    latency = "; ".join(
        f"{row['batch']} image{'s' if row['batch'] > 1 else ''} a call: {row['p50']:.1f} ms in the median, "
        f"{row['p95']:.1f} ms at the 95th percentile"
        for row in serving["latency"]
    )
    return Chapter(
        "How to serve it",
        [
            "A TensorFlow SavedModel whose signature serving_default maps image_bytes (encoded images, a batch of "
            "strings) to probabilities (a row for each image, classes in the order above) and label (the most probable "
            "class). Decoding, resizing and normalisation are inside.",
            Code("python", _EXAMPLE),
            f"On the machine that evaluated it {latency}. The files take {serving['size_bytes'] / 1e6:,.1f} MB.",
            f"On {skew['images']:,} test images it was compared with the model in training: "
            f"{_percent(skew['agreement'])} of the labels agree, and no probability differs by more than "
            f"{skew['max_difference']:.2g}.",
        ],
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _span(interval: Json) -> str:
    return f"{_percent(interval['low'])} to {_percent(interval['high'])}"


def _rate(interval: Json | None) -> str:
    return "none" if interval is None else f"{_percent(interval['value'])} ({_span(interval)})"


def _points(interval: Json) -> str:
    value, low, high = (f"{100 * interval[name]:+.1f}" for name in ("value", "low", "high"))
    return f"{value} points ({low} to {high})"
