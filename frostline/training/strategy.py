"""The distribution strategy: MirroredStrategy over all GPUs, or over all CPUs if there is no GPU."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def mirrored() -> tf.distribute.MirroredStrategy:
    """MirroredStrategy over all GPUs, else over all logical CPUs; with one device it has one replica."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def split(strategy: tf.distribute.Strategy, batch: Any) -> Any:
    """Split a global batch over the replicas in nearly equal, contiguous parts.

    Args:
        strategy: the strategy whose `run` takes the parts.
        batch: a tuple of tensors with the same first dimension, at least one example per replica.

    Returns:
        A tuple of per-replica values; with one replica, the tensors themselves.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batch
    small, larger = divmod(int(batch[0].shape[0]), replicas)
    sizes = [small + (replica < larger) for replica in range(replicas)]
    parts = [tf.split(tensor, sizes) for tensor in batch]

    def deal(pieces: list[Any]) -> Any:
        return strategy.experimental_distribute_values_from_function(
            lambda context: pieces[context.replica_id_in_sync_group]
        )

    return tuple(deal(pieces) for pieces in parts)
