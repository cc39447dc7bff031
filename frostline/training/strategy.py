"""The distribution strategy: MirroredStrategy over all GPUs, or over all CPUs if there is no GPU."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def mirrored() -> tf.distribute.MirroredStrategy:
    """MirroredStrategy over all GPUs, else over all logical CPUs; with one device it has one replica."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def deal(strategy: tf.distribute.Strategy, batch: Any) -> Any:
    """Divide a global batch on the CPU in nearly equal, contiguous parts, and copy each to its replica's device.

    No device receives more than its part. Safe to call from any thread, so this can be done ahead of the step.

    Args:
        strategy: the strategy whose `run` takes the parts.
        batch: a tuple of tensors with the same first dimension, at least one example per replica.

    Returns:
        A tuple of per-replica values; with one replica, of tensors on the default device, its GPU if there is one.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return tuple(tf.identity(tensor) for tensor in batch)
    small, larger = divmod(int(batch[0].shape[0]), replicas)
    sizes = [small + (replica < larger) for replica in range(replicas)]
    with tf.device("CPU:0"):
        parts = [tf.split(tensor, sizes) for tensor in batch]
    devices = strategy.extended.worker_devices

    def place(pieces: list[Any]) -> Any:
        def on_device(context: Any) -> Any:
            replica = context.replica_id_in_sync_group
            with tf.device(devices[replica]):
                return tf.identity(pieces[replica])

        return strategy.experimental_distribute_values_from_function(on_device)

    return tuple(place(pieces) for pieces in parts)
