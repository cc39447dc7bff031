"""The loss: softmax cross-entropy with label smoothing and class weights; and the measures of validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from frostline.training.config import TrainingConfig


class Objective:
    """Losses per image, in nats and float32 for logits of any dtype; the caller takes the mean."""

    def __init__(self, config: TrainingConfig, class_counts: Sequence[int]) -> None:
        """Compute the class weights.

        The weight of a balanced class is n / (classes * its images), where n is the number of images and only classes
        with images count; the mean weight of an image is 1. This is scikit-learn's `compute_class_weight("balanced")`.
        A class without training images has weight 0.

        Args:
            config: label smoothing and class weights.
            class_counts: number of training images per class.
        """
        self._smoothing = config.label_smoothing
        self._weights = None
        if config.class_weights == "balanced":
            counts = np.asarray(class_counts, np.float64)
            share = counts.sum() / np.count_nonzero(counts)
            weights = np.divide(share, counts, out=np.zeros_like(counts), where=counts > 0)
            self._weights = weights.astype(np.float32)

    def losses(self, labels: Any, logits: Any) -> Any:
        """Cross-entropy of each image against its smoothed label, times the weight of its class.

        The target probability of the label is 1 - s + s / classes, of every other class s / classes (Keras' label
        smoothing s).

        Args:
            labels: [batch] int64.
            logits: [batch, classes], of any floating dtype.

        Returns:
            [batch] float32.
        """
        classes = logits.shape[-1]
        targets = tf.one_hot(labels, classes) * (1.0 - self._smoothing) + self._smoothing / classes
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, tf.cast(logits, tf.float32))
        return losses if self._weights is None else losses * tf.gather(self._weights, labels)

    def plain(self, labels: Any, logits: Any) -> Any:
        """Cross-entropy of each image against its label, without smoothing and weights: [batch] float32."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))

    def correct(self, labels: Any, logits: Any) -> Any:
        """Whether the largest logit of each image is at its label: [batch] bool."""
        return tf.argmax(logits, axis=-1) == labels

    def number_correct(self, labels: Any, logits: Any) -> Any:
        """Number of images whose largest logit is at their label: int64 scalar."""
        return tf.reduce_sum(tf.cast(self.correct(labels, logits), tf.int64))
