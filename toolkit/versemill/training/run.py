"""The training core: an iterator over a run, which its caller drives.

    run = Training(parts, config, registry, plan=KernelPlan.current())
    for event in run:
        ...                     # run.state() is valid here: always between two steps

The caller owns persistence, heartbeats and stopping. Nothing depends on the clock except how
often `Progress` is yielded. Gradients are truncated at window borders (R. J. Williams and J. Peng,
"An efficient gradient-based algorithm for on-line training of recurrent network trajectories",
Neural Computation 2, 1990).

Shapes: B batch, T time, S steps of an epoch.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, TypeVar

import torch

from versemill.checkpoints.model_fit import shape_difference
from versemill.checkpoints.state import TrainingState
from versemill.errors import CheckpointError, DivergedError
from versemill.evaluation.perplexity import evaluation
from versemill.generation.model import TrainedModel
from versemill.nn.network import detached
from versemill.nn.seeds import derived
from versemill.phrases import counted
from versemill.plugins.run_events import EpochReport, Event, Finished, HeldOut, Lyric, Progress
from versemill.training.assembly import assemble
from versemill.training.early_stopping import EarlyStopping
from versemill.training.resuming import refuse_another_run
from versemill.training.speed import Clock

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from torch import Tensor

    from versemill.config.job import JobConfig
    from versemill.nn.machine import KernelPlan
    from versemill.nn.network import LanguageModel, States
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.registry import Registry
    from versemill.text.splitting import Parts

T = TypeVar("T")


class Training:
    """One run over a corpus; deterministic for its configuration, seed and kernel plan.

    Args:
        parts: training, validation and test text.
        config: the whole job.
        registry: where cell, sampler, tokenizer and decoders are looked up.
        plan: how to compute; the caller has applied it to this process.
        state: a state of the same run, from which it continues; bit for bit on CPU.
        inexact: allow `state` to come from another kernel plan.
        accept_change: allow `state` to come from other versions or options of the plugins.

    Raises:
        CorpusError: the training text is too short for one batch of windows.
        NotEnoughMemoryError: the network cannot fit into this machine's memory.
        PlanMismatchError: `state` was made on another kernel plan, and `inexact` is not set.
        PluginMismatchError: `state` was made with other plugins, and `accept_change` is not set.
        CheckpointError: `state` belongs to another text or configuration.
        UnknownNameError: a plugin is missing.
    """

    def __init__(
        self,
        parts: Parts,
        config: JobConfig,
        registry: Registry,
        *,
        plan: KernelPlan,
        state: TrainingState | None = None,
        inexact: bool = False,
        accept_change: bool = False,
    ) -> None:
        if state is not None:
            plan = plan.resuming(state.plan, inexact=inexact)
        self.plan = plan
        self.config = config
        self.accepted: list[str] = []
        """What differs from when `state` was made, and was accepted."""
        self._registry = registry
        self._made = made = assemble(parts, config, registry, plan)
        self._tokenizer, self._sampler, self._model = made.tokenizer, made.sampler, made.model
        self._device = made.device
        self._noise = torch.Generator(self._device)
        self._clock = Clock()
        self._step = 0  # optimizer steps done
        self._epoch = 0  # epochs reported
        self._position = 0  # steps done in the epoch that is not reported yet
        self._losses = torch.zeros(self._sampler.steps, dtype=torch.float64, device=self._device)
        self._checked = 0  # losses of this epoch known to be finite
        self._states: States = self._zero_states()
        self._stopping = EarlyStopping(config.training.patience)
        self._ended_by: str | None = None
        if state is not None:
            self.accepted = refuse_another_run(state, made, accept_change=accept_change)
            self._restore(state)

    def __iter__(self) -> Iterator[Event]:
        """Trains from the present position to the end, yielding at least every 0.5 s."""
        while not self._done():
            yield from self._train_epoch()
            if self._ended_by is None:
                yield (yield from self._finish_epoch())
        yield (yield from self._finish())

    def end_early(self, reason: str) -> None:
        """Has the run end at this step as it would at its last one; may be called at any yield.

        An epoch in progress is left as it is; one that is being validated is finished.

        Args:
            reason: for `Finished`.
        """
        self._ended_by = reason

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self._step

    @property
    def plugins(self) -> tuple[PluginRecord, ...]:
        """Those that decide its numbers: cell, sampler and tokenizer."""
        return tuple(selected.record for selected in self._made.selection.numerical)

    def trained(self) -> TrainedModel:
        """The model as it is now. Shares weights with the run: use it between two steps."""
        return TrainedModel(
            self._model,
            self._tokenizer,
            self.config,
            self._registry,
            unseen=self._made.text.unseen_share,
            step=self._step,
        )

    # One epoch

    def _train_epoch(self) -> Iterator[Progress]:
        starts_SB = self._starts()
        ids = self._made.text.of_epoch(self._seed_of_epoch("unknown"))
        window_T1 = torch.arange(self.config.training.window + 1, device=self._device).unsqueeze(1)
        while self._position < self._sampler.steps:
            self._train_step(ids[starts_SB[self._position] + window_T1])
            if self._clock.due():
                self._check_losses()
                yield self._progress("training")
                if self._ended_by is not None:
                    return
        self._check_losses()

    def _train_step(self, ids_TB: Tensor) -> None:
        if not self._sampler.carries_state:
            self._states = self._zero_states()
        self._noise.manual_seed(derived(self.config.training.seed, "noise", self._step))
        y_TBH, states = self._model(ids_TB[:-1], self._states, self._noise)
        loss = self._model.loss(y_TBH, ids_TB[1:])
        self._made.optimization.step(loss, self._step)
        self._states = detached(states)
        self._losses[self._position] = loss.detach()
        self._position += 1
        self._step += 1
        ids = self.config.training.batch_size * self.config.training.window
        self._clock.trained(ids / self._made.text.ids_per_character)

    def _zero_states(self) -> States:
        return self._model.initial_state(self.config.training.batch_size)

    def _starts(self) -> Tensor:
        generator = torch.Generator().manual_seed(self._seed_of_epoch("windows"))
        return self._sampler.starts(generator).to(self._device)

    def _seed_of_epoch(self, purpose: str) -> int:
        return derived(self.config.training.seed, purpose, self._epoch)

    def _check_losses(self) -> None:
        """Waits for the device; raises `DivergedError` at the first loss that is not finite."""
        fresh = self._losses[self._checked : self._position]
        bad = (~fresh.isfinite()).nonzero()
        if len(bad):
            at = int(bad[0])
            step = self._step - self._position + self._checked + at + 1
            raise DivergedError(self._epoch + 1, step, float(fresh[at]))
        self._checked = self._position

    # Between epochs

    def _finish_epoch(self) -> Generator[Progress, None, EpochReport]:
        """Validates and writes lyrics where due. Until it returns, the state stays before it."""
        options = self.config.training
        epoch = self._epoch + 1
        last = epoch == options.epochs
        valid: HeldOut | None = None
        if self._made.parts.validation and (epoch % options.evaluate_every == 0 or last):
            valid = yield from self._evaluate(self._model, "validation", parallel=True)
            if not math.isfinite(valid.nats_per_character):
                raise DivergedError(epoch, self._step, valid.nats_per_character)
        train_perplexity = self._train_perplexity() or math.nan
        nats = valid.nats_per_character if valid else None
        lyrics: tuple[Lyric, ...] = ()
        if epoch % options.report_every == 0 or last or self._stopping.would_stop(nats):
            lyrics = yield from self._write_lyrics()
        # From here to the report there is no yield: a state never lies between the two.
        self._epoch, self._position, self._checked = epoch, 0, 0
        self._states = self._zero_states()
        best = nats is not None and self._stopping.validated(
            nats, self._model, epoch=epoch, step=self._step
        )
        return EpochReport(
            step=self._step,
            epoch=epoch,
            epochs=options.epochs,
            train_perplexity=train_perplexity,
            valid_perplexity=valid.perplexity if valid else None,
            characters_per_second=self._clock.speed(),
            seconds_left=self._seconds_left(),
            best=best,
            lyrics=lyrics,
        )

    def _done(self) -> bool:
        return (
            self._epoch >= self.config.training.epochs
            or self._stopping.stopped
            or self._ended_by is not None
        )

    def _reason(self) -> str | None:
        """Why it ended before its planned epochs; None if it did not."""
        if self._epoch >= self.config.training.epochs:
            return None
        if self._stopping.stopped:
            number = counted(self._stopping.validations_without_improvement, "validation")
            return f"no improvement in {number}"
        return self._ended_by

    def _finish(self) -> Generator[Progress, None, Finished]:
        """Measures the best weights by the reported procedure, once."""
        model = self._model
        if self._stopping.best_weights:
            model = self._made.new_model()
            model.load_state_dict(self._stopping.best_weights)
        held_out: dict[str, HeldOut] = {}
        for part in ("validation", "test"):
            if getattr(self._made.parts, part):
                held_out[part] = yield from self._evaluate(model, part, parallel=False)
        return Finished(
            step=self._step,
            epoch=self._epoch,
            best_epoch=self._stopping.best_epoch or self._epoch,
            stopped_early=self._epoch < self.config.training.epochs,
            reason=self._reason(),
            held_out=held_out,
        )

    def _evaluate(
        self, model: LanguageModel, part: str, *, parallel: bool
    ) -> Generator[Progress, None, HeldOut]:
        steps = evaluation(
            model,
            self._tokenizer,
            getattr(self._made.parts, part),
            part=part,
            unseen=self._made.text.unseen_share,
            parallel=parallel,
        )
        return (yield from self._telling(steps, "validating"))

    def _write_lyrics(self) -> Generator[Progress, None, tuple[Lyric, ...]]:
        model = self.trained()
        lyrics: list[Lyric] = []
        for prefix in self.config.prefixes:
            steps = model.lyric(prefix, self.config.generation)
            lyrics.append((yield from self._telling(steps, "writing")))
        return tuple(lyrics)

    def _telling(self, steps: Generator[None, None, T], phase: str) -> Generator[Progress, None, T]:
        """Runs `steps`, yielding progress when it is due; returns their result."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                self._clock.pause_over()
                result: T = end.value
                return result
            if self._clock.due():
                yield self._progress(phase)

    # Figures

    def _train_perplexity(self) -> float | None:
        """Per character, over the epoch so far; None before its first step.

        exp of the mean nats per id times the ids per character of the whole training text. The
        number of characters in a single window therefore has no influence. With one id per
        character the factor is exactly 1.
        """
        if self._position == 0:
            return None
        nats_per_id = float(self._losses[: self._position].mean())
        return math.exp(min(nats_per_id * self._made.text.ids_per_character, 700.0))

    def _seconds_left(self) -> float | None:
        return self._clock.seconds_for(self._made.steps - self._step)

    def _progress(self, phase: str) -> Progress:
        return Progress(
            step=self._step,
            steps=self._made.steps,
            epoch=min(self._epoch + 1, self.config.training.epochs),
            epochs=self.config.training.epochs,
            train_perplexity=self._train_perplexity(),
            characters_per_second=self._clock.speed(),
            seconds_left=self._seconds_left(),
            phase=phase,
        )

    # Saving and restoring

    def state(self) -> TrainingState:
        """Everything needed to continue from here, tensors copied; valid after any yield.

        Raises:
            DivergedError: a loss or a weight is not finite, so the state is of no use.
        """
        self._check_losses()
        if not all(bool(weight.isfinite().all()) for weight in self._model.parameters()):
            raise DivergedError(self._epoch + 1, self._step, math.nan)
        made, best = self._made, self._stopping
        return TrainingState(
            weights=_copied(self._model.state_dict()),
            best_weights=best.best_weights,  # never changed, only replaced
            optimizer=_copied(made.optimization.tensors()),
            carried=tuple(tuple(t.clone() for t in layer) for layer in self._states),
            losses=self._losses[: self._position].clone(),
            step=self._step,
            epoch=self._epoch,
            position=self._position,
            best_nats=best.best_nats,
            best_epoch=best.best_epoch,
            best_step=best.best_step,
            validations_without_improvement=best.validations_without_improvement,
            config=self.config,
            plan=self.plan,
            vocabulary=self._tokenizer.to_json(),
            content_hash=made.parts.content_hash,
            text_hash=made.text_hash,
            unseen_share=made.text.unseen_share,
            plugins=self.plugins,
        )

    def _restore(self, state: TrainingState) -> None:
        try:
            self._refuse_other_tensors(state)
            self._model.load_state_dict(dict(state.weights))
            self._made.optimization.load(state.optimizer)
        except (RuntimeError, TypeError, ValueError) as error:
            reason = (
                textwrap.shorten(str(error)[:1000], 200, placeholder=" …") or type(error).__name__
            )
            raise CheckpointError(f"the checkpoint does not fit this job: {reason}") from None
        self._step, self._epoch = state.step, state.epoch
        self._position = self._checked = state.position
        self._losses[: state.position] = state.losses.to(self._device)
        # Cells without a state carry a tuple for each layer all the same.
        self._states = tuple(
            tuple(tensor.to(self._device, copy=True) for tensor in layer)
            for layer in state.carried or self._states
        )
        epochs = self.config.training.epochs
        self._stopping.restore(state, epochs=epochs, device=self._device)

    def _refuse_other_tensors(self, state: TrainingState) -> None:
        """Compares the shapes of all tensors, since PyTorch would repeat or convert some."""
        model = self._model.state_dict()
        pairs = [
            (state.weights, model),
            (state.best_weights, model if state.best_weights else {}),
            (_by_place(state.carried), _by_place(self._states)),
            ({"losses": state.losses}, {"losses": self._losses[: state.position]}),
        ]  # the optimizer compares its own
        for found, wanted in pairs:
            difference = shape_difference(found, wanted)
            if difference is not None:
                raise ValueError(difference)


def _by_place(states: States) -> dict[str, Tensor]:
    return {
        f"state {layer}.{i}": tensor
        for layer, tensors in enumerate(states)
        for i, tensor in enumerate(tensors)
    }


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}
