"""The numbers of a model card: the model's quality, its comparison with the champion, its limits and serving costs."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.documents.evaluation import Compared, Evaluation, Interval, Skew
from frostline.reporting.markup import Block, Chapter, Code, Table

_EXAMPLE = """import tensorflow as tf

serve = tf.saved_model.load("this/directory").signatures["serving_default"]
answer = serve(image_bytes=tf.constant([open("photo.jpg", "rb").read()]))
answer["label"], answer["probabilities"]"""


def chapters(evaluation: Evaluation, notes: Sequence[str]) -> list[Chapter]:
    """Quality, comparison, limits and serving, from evaluation.json and the gate's notes."""
    return [_quality(evaluation), _comparison(evaluation), _limits(evaluation, notes), _serving(evaluation)]


def _quality(evaluation: Evaluation) -> Chapter:
    level = f"{100 * evaluation['confidence']:g} % interval"
    split = evaluation["test_split"]
    earlier = split.get("attempts", split["promotions"])  # evaluations made before attempts were recorded lack them
    reuse = (
        f"{earlier} earlier model{'s were' if earlier > 1 else ' was'} evaluated on some of these test images."
        if earlier
        else "No earlier model was evaluated on these test images."
    )
    leaked = evaluation["leaked"]
    leak = f"{leaked:,} of them were" if leaked else "None of them was"
    classes = [
        (row["label"], f"{row['examples']:,}", _rate(row["precision"]), _rate(row["recall"]), f"{row['f1']:.3f}")
        for row in evaluation["per_class"]
    ]
    blocks: list[Block] = [
        f"Measured on {evaluation['examples']:,} test images: the original files, through the exported model. {leak} "
        f"in the training or validation split of this model, or of a version that it started from. {reuse}",
        Table(("metric", "value", level, "method"), _overall(evaluation)),
        "By class:",
        Table(("class", "images", "precision", "recall", "F1"), classes),
    ]
    if evaluation["slices"]:
        slices = [
            (row["column"], row["value"] or "(none)", f"{row['examples']:,}", _rate(row["accuracy"]))
            for row in evaluation["slices"]
        ]
        blocks += ["By metadata slice:", Table(("column", "value", "images", "accuracy"), slices, 2)]
    return Chapter("Quality", blocks)


def _overall(evaluation: Evaluation) -> list[tuple[str, ...]]:
    rates: dict[str, Interval] = {
        "accuracy": evaluation["accuracy"],
        f"top-{evaluation['top_k']['k']} accuracy": evaluation["top_k"],
        "macro F1": evaluation["macro_f1"],
        "expected calibration error": evaluation["calibration_error"],
    }
    others = {"log loss (nats)": evaluation["log_loss"], "Brier score (0 to 2)": evaluation["brier"]}
    return [
        *((name, _percent(one["value"]), _span(one), one["method"].replace("_", " ")) for name, one in rates.items()),
        *(
            (name, f"{one['value']:.4f}", f"{one['low']:.4f} to {one['high']:.4f}", one["method"].replace("_", " "))
            for name, one in others.items()
        ),
    ]


def _comparison(evaluation: Evaluation) -> Chapter:
    champion, heading = evaluation["champion"], "Comparison with the champion"
    if champion is None:
        return Chapter(heading, ["There was no champion yet."])
    if champion["comparable"] is False:
        sentence = f"It could not be compared with the champion, version {champion['version']}: {champion['reason']}"
        return Chapter(heading, [f"{sentence.rstrip('.')}."])
    blocks: list[Block] = [_difference(champion), *_reference(evaluation)]
    if champion["new_labels"]:
        blocks.append(f"Classes that only this model has: {', '.join(champion['new_labels'])}.")
    rows = [
        (row["column"], row["value"] or "(none)", f"{row['examples']:,}", _points(row["difference"]))
        for row in sorted(champion["slices"], key=lambda row: row["difference"]["value"])
    ]
    if rows:
        blocks.append(Table(("column", "value", "images", "difference"), rows, 2))
    return Chapter(heading, blocks)


def _difference(champion: Compared) -> str:
    name = f"version {champion['version']}"
    sentence = (
        f"On the same {champion['examples']:,} images this model's accuracy is "
        f"{_percent(champion['challenger_accuracy']['value'])} and that of the champion, {name}, is "
        f"{_percent(champion['accuracy']['value'])}: a difference of {_points(champion['difference'])}. Only this "
        f"model is correct on {champion['only_challenger_right']:,} images, only {name} on "
        f"{champion['only_champion_right']:,}; McNemar's exact two-sided p is {champion['p_value']:.3g}."
    )
    if champion["excluded"]:
        sentence += (
            f" {champion['excluded']:,} test images are excluded: {name} was made with {champion['made_with']:,} of "
            f"them, and does not have the class of {champion['excluded'] - champion['made_with']:,}."
        )
    return sentence


def _reference(evaluation: Evaluation) -> list[Block]:
    """Beside the champion, the version that does not move with it."""
    found = evaluation.get("reference")
    if found is None or found["comparable"] is False:
        return []
    name = f"version {found['version']}{', pinned by a person' if found['pinned'] else ''}"
    difference = f"a difference of {_points(found['difference'])}"
    return [f"Against the reference, {name}, on {found['examples']:,} images: {difference}."]


def _limits(evaluation: Evaluation, notes: Sequence[str]) -> Chapter:
    error = evaluation["calibration_error"]
    limits = [
        "The test images come from the same source as the training images. Its quality on images from other sources, "
        "or on adversarial images, was not measured.",
        f"Its confidence is off by {100 * error['value']:.1f} points on average (expected calibration error, "
        f"{_span(error)}).",
        "EXIF orientation is ignored, transparency (alpha) is dropped, and only the first frame of an animation is "
        "used.",
        "A file that is not a JPEG, PNG, GIF, BMP or WebP image fails the whole request that contains it.",
    ]
    if not evaluation["slices"]:
        limits.append("The images have no metadata, so it is not known whether it is worse on some kinds of images.")
    return Chapter("Limits", [limits + [f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in notes]])


def _serving(evaluation: Evaluation) -> Chapter:
    serving, skew = evaluation["serving"], evaluation["skew"]
    latency = "; ".join(
        f"{row['p50']:.1f} ms (median) and {row['p95']:.1f} ms (95th percentile) for {row['batch']} "
        f"image{'s' if row['batch'] > 1 else ''} per call"
        for row in serving["latency"]
    )
    return Chapter(
        "How to serve it",
        [
            "It is a TensorFlow SavedModel. Its signature serving_default takes image_bytes (a batch of encoded "
            "images, as strings) and returns probabilities (one row per image, classes in the order above) and label "
            "(the most probable class). It decodes, resizes and normalises the images itself.",
            Code("python", _EXAMPLE),
            f"Latency on the machine that evaluated it: {latency}. The files take {serving['size_bytes'] / 1e6:,.1f} "
            "MB.",
            f"{_pixels(skew)}Compared with the model in training on {skew.get('predicted', skew['images']):,} test "
            f"images, {_percent(skew['agreement'])} of the labels agree, and no probability differs by more than "
            f"{skew['max_difference']:.2g}.",
        ],
    )


def _pixels(skew: Skew) -> str:
    """What was found about the pixels; nothing in evaluations of earlier versions."""
    if "different" not in skew:
        return ""
    found = f"other for {skew['different']:,}" if skew["different"] else "the same for all"
    return f"The pixels that training and serving see are {found} of {skew['images']:,} test images. "


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _span(interval: Interval) -> str:
    return f"{_percent(interval['low'])} to {_percent(interval['high'])}"


def _rate(interval: Interval | None) -> str:
    return "none" if interval is None else f"{_percent(interval['value'])} ({_span(interval)})"


def _points(interval: Interval) -> str:
    bounds = interval["value"], interval["low"], interval["high"]
    value, low, high = (f"{100 * bound:+.1f}" for bound in bounds)
    return f"{value} points ({low} to {high})"
