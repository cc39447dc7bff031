"""`make demo`: learn the digits 0-4, fine-tune on 5-9 with the first block frozen, and summarize both runs.

Both runs use what `frostline run` uses; this module only chooses the configurations and reads the results.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from frostline import registry
from frostline.documents.evaluation import EVALUATION, Compared, Interval, Uncompared
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN, Certificate, FreezePlan
from frostline.documents.kinds import Document
from frostline.documents.release import DECISION
from frostline.errors import DataError, FrostlineError
from pipelines.cli import INTERRUPTED, fail, run_config
from pipelines.documents import ARGUMENTS, ARTIFACTS_DIRECTORY, Summary

T = TypeVar("T", bound=Mapping[str, Any])

CONFIGS = ("digits-base", "digits-finetune")
ROOT = Path("runs")


def main() -> None:
    """Run both configurations, then print what was frozen, verified, measured and decided."""
    summaries = [run_config(Path(str(files("pipelines") / "configs" / f"{name}.yaml")), [], ROOT) for name in CONFIGS]
    for name, summary in zip(CONFIGS, summaries, strict=True):
        show(name, story(summary))
    print(f"\n{sum(summary['seconds'] for summary in summaries):.1f} s for both runs")


def story(summary: Summary) -> dict[str, str]:
    """Summarize the files of a run in short lines by topic.

    Raises:
        DataError: a file of the run is missing.
    """
    run = Path(summary["directory"])
    plan = _read(run, FREEZE_PLAN, "plan/freeze_plan")
    certificate = _read(run, CERTIFICATE, "train/model")
    evaluation = _read(run, EVALUATION, "evaluate/evaluation")
    decision = _read(run, DECISION, "gate/decision")
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in summary["steps"].items())
    return {
        "outcome": summary["outcome"],
        "frozen": _frozen(plan),
        "verified": _verified(certificate),
        "accuracy": f"{_interval(evaluation['accuracy'])} on {evaluation['examples']} test images",
        "champion": _champion(evaluation["champion"]),
        "verdict": f"{decision['verdict']}: {decision['reason']}",
        "registry": _registry(run),
        "report": summary["pages"].get("report.html", "none"),
        "seconds": f"{summary['seconds']:.1f} ({steps})",
    }


def show(title: str, lines: dict[str, str]) -> None:
    """Print the lines under a title."""
    print(f"\n{title}")
    for topic, line in lines.items():
        print(f"  {topic:<9} {line}")


def _read(run: Path, document: Document[T], artifact: str) -> T:
    pattern = f"*/{artifact}/{document.file}"
    found = list((run / ARTIFACTS_DIRECTORY).glob(pattern))
    if len(found) != 1:
        raise DataError(f"{run / ARTIFACTS_DIRECTORY}: found {len(found)} files {pattern}; expected one")
    return document.read_file(found[0])


def _frozen(plan: FreezePlan) -> str:
    totals, boundary = plan["totals"], plan["boundary"]
    upto = f", up to {boundary['layer']}" if boundary else ""
    return (
        f"{totals['frozen_parameters']:,} of the backbone's {totals['parameters']:,} parameters, in"
        f" {totals['frozen_layers']} of {totals['weighted_layers']} layers{upto}"
    )


def _verified(certificate: Certificate) -> str:
    if not certificate["verified"]:
        return f"NOT verified: {len(certificate['moved'])} frozen tensors changed"
    if not certificate["frozen_tensors"]:
        return "nothing: no tensor was frozen"
    return f"{certificate['frozen_tensors']} frozen tensors are bit-identical before and after training"


def _champion(champion: Compared | Uncompared | None) -> str:
    if champion is None:
        return "there was none"
    if not champion["comparable"]:
        return f"version {champion['version']}, not comparable: {champion['reason']}"
    difference = _interval(champion["difference"], sign="+")
    return f"version {champion['version']}: accuracy {champion['accuracy']['value']:.3f}; new minus old {difference}"


def _interval(interval: Interval, sign: str = "") -> str:
    value, low, high = interval["value"], interval["low"], interval["high"]
    return f"{value:{sign}.3f} (interval {low:{sign}.3f} to {high:{sign}.3f})"


def _registry(run: Path) -> str:
    arguments = ARGUMENTS.read(run)["arguments"]
    root, model = arguments["registry"], arguments["model_name"]
    champion = registry.champion(root, model)
    count = len(registry.versions(root, model))
    state = f"version {champion.version} is the champion" if champion else "no champion"
    return f"{root}: {count} version{'' if count == 1 else 's'} of {model}; {state}"


if __name__ == "__main__":
    try:
        main()
    except FrostlineError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    sys.exit(0)
