"""`make demo`: learn the digits 0-4, fine-tune on 5-9 with the first block frozen, and say what came of it.

Both runs go through what `frostline run` calls; this module only chooses the configurations and reads the results.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from frostline import registry
from frostline.artifacts import Json, read_json
from frostline.errors import DataError, FrostlineError
from pipelines.cli import INTERRUPTED, fail, run_config

CONFIGS = ("digits-base", "digits-finetune")
ROOT = Path("runs")
_EVIDENCE = {  # kind of file: where a run's artifacts hold it
    "freeze_plan": "plan/freeze_plan/freeze_plan.json",
    "freeze_certificate": "train/model/freeze_certificate.json",
    "evaluation": "evaluate/evaluation/evaluation.json",
    "decision": "gate/decision/decision.json",
}


def main() -> None:
    """Run both configurations, then print what was frozen, proven, measured and decided."""
    summaries = [run_config(Path(str(files("pipelines") / "configs" / f"{name}.yaml")), [], ROOT) for name in CONFIGS]
    for name, summary in zip(CONFIGS, summaries, strict=True):
        show(name, story(summary))
    print(f"\n{sum(summary['seconds'] for summary in summaries):.1f} s for both runs")


def story(summary: Json) -> dict[str, str]:
    """What a run's files say, as short lines by topic.

    Raises:
        DataError: a file of the run is missing.
    """
    evidence = {kind: _read(Path(summary["directory"]), kind, path) for kind, path in _EVIDENCE.items()}
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in summary["steps"].items())
    return {
        "outcome": summary["outcome"],
        "frozen": _frozen(evidence["freeze_plan"]),
        "proven": _proven(evidence["freeze_certificate"]),
        "accuracy": _accuracy(evidence["evaluation"]),
        "champion": _champion(evidence["evaluation"]["champion"]),
        "verdict": f"{evidence['decision']['verdict']}: {evidence['decision']['reason']}",
        "registry": _registry(summary),
        "report": summary["pages"].get("report.html", "none"),
        "seconds": f"{summary['seconds']:.1f} ({steps})",
    }


def show(title: str, lines: dict[str, str]) -> None:
    """Print the lines under their title."""
    print(f"\n{title}")
    for topic, line in lines.items():
        print(f"  {topic:<9} {line}")


def _read(directory: Path, kind: str, path: str) -> Json:
    found = list(directory.glob(f"artifacts/*/{path}"))
    if len(found) != 1:
        raise DataError(f"{directory / 'artifacts'}: found {len(found)} files */{path}; expected one")
    return read_json(found[0], kind)


def _frozen(plan: Json) -> str:
    totals, boundary = plan["totals"], plan["boundary"]
    upto = f", up to {boundary['layer']}" if boundary else ""
    return (
        f"{totals['frozen_parameters']:,} of the backbone's {totals['parameters']:,} parameters, in"
        f" {totals['frozen_layers']} of {totals['weighted_layers']} layers{upto}"
    )


def _proven(certificate: Json) -> str:
    if not certificate["verified"]:
        return f"NOT proven: {len(certificate['moved'])} frozen tensors moved"
    if not certificate["frozen_tensors"]:
        return "nothing: no tensor was frozen"
    return f"{certificate['frozen_tensors']} frozen tensors are bit-identical before and after training"


def _accuracy(evaluation: Json) -> str:
    return f"{_interval(evaluation['accuracy'])} on {evaluation['examples']} test images"


def _champion(champion: Json | None) -> str:
    if champion is None:
        return "there was none"
    if not champion["comparable"]:
        return f"version {champion['version']}, not comparable: {champion['reason']}"
    difference = _interval(champion["difference"], sign="+")
    return f"version {champion['version']}: accuracy {champion['accuracy']['value']:.3f}; new minus old {difference}"


def _interval(measured: dict[str, Any], sign: str = "") -> str:
    value, low, high = (format(measured[key], f"{sign}.3f") for key in ("value", "low", "high"))
    return f"{value} (interval {low} to {high})"


def _registry(summary: Json) -> str:
    arguments = read_json(Path(summary["directory"]) / "arguments.json", "arguments")["arguments"]
    root, model = arguments["registry"], arguments["model_name"]
    serving = registry.champion(root, model)
    count = len(registry.versions(root, model))
    state = f"version {serving.version} serves" if serving else "none serves"
    return f"{root}: {count} version{'' if count == 1 else 's'} of {model}; {state}"


if __name__ == "__main__":
    try:
        main()
    except FrostlineError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    sys.exit(0)
