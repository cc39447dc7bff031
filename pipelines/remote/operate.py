"""What people do with runs and schedules that are there already; every action can be repeated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from frostline.errors import FrostlineError
from frostline.events import say
from pipelines.remote import following
from pipelines.remote.cluster import Cluster, connected
from pipelines.remote.cron import next_run
from pipelines.remote.run_states import ENDED, state_of
from pipelines.remote.submit import pages, retire


def resume(
    cluster: Cluster, run_id: str, *, wait: bool = True, retries: int = 0, wait_for_node: int = following.WAIT_FOR_NODE
) -> str:
    """Start the failed steps of a run again, as the Retry button does; one that is running is only followed.

    Raises:
        FrostlineError: there is no such run, it succeeded already, or it fails again.
    """
    with connected(cluster) as (client, used):
        state = state_of(client.get_run(run_id))
        if state == "SUCCEEDED":
            raise FrostlineError(f"the run has succeeded already, see {cluster.run_url(run_id)}")
        if state in ENDED:
            following.retry(client, run_id)
            say(f"resumed {cluster.run_url(run_id)}")
        if not wait:
            return f"resumed {cluster.run_url(run_id)}"
        return following.to_its_end(client, used, run_id, retries=retries, wait_for_node=wait_for_node)


def terminate(cluster: Cluster, run_id: str) -> str:
    """End a run; its finished work stays in the store. One that has ended is left as it is."""
    with connected(cluster) as (client, _):
        state = state_of(client.get_run(run_id))
        if state in ENDED:
            return f"the run has ended already, as {state}: {cluster.run_url(run_id)}"
        if state != "CANCELING":
            client.terminate_run(run_id)
    return f"terminating {cluster.run_url(run_id)}"


def set_paused(cluster: Cluster, name: str, *, paused: bool) -> str:
    """Pause a schedule, or let it go on; its running run is not touched, nor one that was replaced let go on.

    Raises:
        FrostlineError: there is no schedule of this name.
    """
    with connected(cluster) as (client, used):
        newest, *replaced = _schedules(client, used, name)
        for one in [newest, *replaced] if paused else [newest]:
            change = client.disable_recurring_run if paused else client.enable_recurring_run
            change(one.recurring_run_id)
    return f"{name} is {'paused' if paused else 'scheduled'}"


def delete(cluster: Cluster, name: str) -> str:
    """Disable a schedule, and delete it unless a run of it still goes on, which Kubeflow would end and never forget.

    Raises:
        FrostlineError: a run of it still goes on; the schedule is paused.
    """
    with connected(cluster) as (client, used):
        listed = pages(client.list_recurring_runs, "recurring_runs", used.namespace)
        found = [one.recurring_run_id for one in listed if one.display_name == name]
        busy = retire(client, found, used.namespace)
    if busy:
        raise FrostlineError(f"{name} is paused; delete it once {', '.join(busy)} has ended")
    return f"{name} is deleted" if found else f"there is no schedule {name!r}"


def status(cluster: Cluster, name: str) -> str:
    """A schedule in a few lines: when it runs next, or that it is paused, and its last runs, the newest first.

    Times are in UTC, which is Kubeflow's own for schedules unless its administrator chose another.

    Raises:
        FrostlineError: there is no schedule of this name.
    """
    with connected(cluster) as (client, used):
        lines = []
        for place, one in enumerate(_schedules(client, used, name)):
            expression = _cron(one)
            state = "replaced" if place and one.status == "DISABLED" else _state(one, expression)
            lines.append(f"{name}  {state}  at {expression!r}  {one.description or ''}".rstrip())
            runs = [run for run in pages(client.list_runs, "runs", used.namespace) if _is_of(run, one)]
            newest = sorted(runs, key=lambda run: run.created_at, reverse=True)
            lines += [
                f"  {run.created_at:%Y-%m-%d %H:%M}  {state_of(run)}  {cluster.run_url(run.run_id)}"
                for run in newest[:5]
            ]
        return "\n".join(lines)


def _is_of(run: Any, schedule: Any) -> bool:
    return bool(run.recurring_run_id == schedule.recurring_run_id)


def _cron(schedule: Any) -> str:
    trigger = schedule.trigger and schedule.trigger.cron_schedule
    return trigger.cron if trigger and trigger.cron else ""


def _state(schedule: Any, expression: str) -> str:
    if schedule.status == "DISABLED":
        return "paused"
    when = next_run(expression, datetime.now(UTC))
    return f"next {when:%Y-%m-%d %H:%M} UTC" if when else "scheduled"


def _schedules(client: Any, cluster: Cluster, name: str) -> list[Any]:
    """Those of this name, the newest first: one that was replaced stays while a run of it goes on."""
    found = [
        one
        for one in pages(client.list_recurring_runs, "recurring_runs", cluster.namespace)
        if one.display_name == name
    ]
    if not found:
        raise FrostlineError(f"{cluster.host}: there is no schedule {name!r}")
    found.reverse()  # of one second, the last is the newest
    return sorted(found, key=lambda one: one.created_at, reverse=True)
