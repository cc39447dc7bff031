"""All phases of a training, resumable at any step: a session holds phases, a phase holds steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import tensorflow as tf

from frostline.documents.training import EpochRow
from frostline.events import Progress, say
from frostline.freeze import certificate
from frostline.freeze.phases import Phase
from frostline.training import loop
from frostline.training.feed import PhaseSources
from frostline.training.phase_run import PhaseRun
from frostline.training.state import Saver, State, Subject


class Fit:
    """Runs the phases that are left, one after the other."""

    def __init__(
        self,
        subject: Subject,
        sources: Sequence[PhaseSources],
        settings: loop.StepSettings,
        strategy: tf.distribute.Strategy,
        saver: Saver,
    ) -> None:
        """Load the newest checkpoint, if there is one.

        Args:
            subject: what is trained.
            sources: images or features of each phase.
            settings: of every step.
            strategy: one or more replicas.
            saver: of checkpoints.

        Raises:
            DataError, StorageError: a checkpoint cannot be read or does not fit the model.
        """
        self._subject, self._sources, self._settings = subject, sources, settings
        self._strategy, self._saver = strategy, saver
        self.state: State
        self.state, self._arrays, self.resumed_from = saver.resume(subject)
        if not self.state.digests:
            self.state.digests.append(certificate.replica_digests(subject.backbone))

    def phases(self) -> Iterator[PhaseRun]:
        """The phases that are not finished, each ready to run; finish one before taking the next."""
        images = sum(phase.epochs * len(part.train.examples) for phase, part in self._paired())
        with Progress(images, "images") as progress:
            progress.advance(self._images_done())
            for phase, sources in self._paired()[self.state.phase :]:
                yield PhaseRun(
                    self._subject,
                    phase,
                    sources,
                    self._settings,
                    self._strategy,
                    state=self.state,
                    saver=self._saver,
                    arrays=self._arrays,
                    progress=progress,
                )
                self._arrays = {}

    def describe(self, row: EpochRow) -> None:
        """Log an epoch in one line: the first, the last, and about ten in between."""
        epochs = sum(phase.epochs for phase in self._subject.schedule)
        if row["epoch"] not in (1, epochs) and row["epoch"] % max(1, epochs // 10):
            return
        validation = f", validation accuracy {row['validation_accuracy']:.3f}" if "validation_accuracy" in row else ""
        speed = row["images_per_second"]  # 0 if training resumed after the epoch's last step
        say(
            f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.3f}{validation}"
            f"{f', {speed:.0f} images/s' if speed else ''}"
        )

    def _paired(self) -> list[tuple[Phase, PhaseSources]]:
        return list(zip(self._subject.schedule, self._sources, strict=True))

    def _images_done(self) -> int:
        done = sum(len(self._sources[row["phase"] - 1].train.examples) for row in self.state.history)
        return done + self.state.step * self._settings.batch_size
