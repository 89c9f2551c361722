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

import hashlib
import math
import textwrap
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from versemill.checkpoints.file import Checkpoint
from versemill.checkpoints.model_fit import shape_difference
from versemill.errors import CheckpointError, CorpusError, DivergedError
from versemill.evaluation.perplexity import evaluation, unseen_share
from versemill.generation.model import TrainedModel
from versemill.nn.machine import KernelPlan
from versemill.nn.network import LanguageModel, States, build_model, detached
from versemill.nn.seeds import derived
from versemill.phrases import counted
from versemill.plugins.run_events import EpochReport, Event, Finished, HeldOut, Lyric, Progress
from versemill.training.feasibility import check_memory
from versemill.training.optimizers import Optimization
from versemill.training.resuming import refuse_another_run
from versemill.training.speed import Clock

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from torch import Tensor

    from versemill.config.job import JobConfig
    from versemill.config.validation import Options
    from versemill.plugins.contracts import Sampler, Tokenizer
    from versemill.plugins.registry import Registry
    from versemill.text.splitting import Parts

T = TypeVar("T")

_UNKNOWN_PROBABILITY = 0.5  # of a character seen once, to be trained as <unk> in an epoch


class Training:
    """One run over a corpus; deterministic for its configuration, seed and kernel plan.

    Args:
        parts: training, validation and test text.
        config: the whole job.
        registry: where cell, sampler, tokenizer and decoders are looked up.
        plan: how to compute; the caller has applied it to this process.
        state: a checkpoint of the same run to go on from; bit for bit on CPU.
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
        state: Checkpoint | None = None,
        inexact: bool = False,
        accept_change: bool = False,
    ) -> None:
        if state is not None:
            stored = KernelPlan.from_json(state.meta.get("plan", {}))
            plan = plan.resuming(stored, inexact=inexact)
        self.plan = plan
        self.config = config
        self._parts = parts
        self._registry = registry
        self._device = torch.device(plan.device)
        self._tokenizer = self._build_tokenizer()
        ids = self._tokenizer.encode(parts.training)
        self._unseen = unseen_share(ids)
        self._sampler = self._build_sampler(len(ids))
        self._ids = torch.tensor(ids, device=self._device)
        self._once = self._seen_once()
        # Checked when the job was submitted, but perhaps on another machine, or not by us.
        check_memory(config, len(self._tokenizer.tokens), device=plan.device)
        model = build_model(config, len(self._tokenizer.tokens), registry)
        self._model: LanguageModel = model.to(self._device, plan.torch_dtype)
        self._steps = config.training.epochs * self._sampler.steps
        self._optimization = Optimization(self._model, config.training, self._steps)
        self._noise = torch.Generator(self._device)
        self._clock = Clock()
        self._begin()
        self.accepted: list[str] = []
        """What is other than when `state` was made, and was accepted."""
        if state is not None:
            self.accepted = refuse_another_run(
                state.meta, self._meta(), self._options_classes(), accept_change=accept_change
            )
            self._restore(state)

    def __iter__(self) -> Iterator[Event]:
        """Trains from the present position to the end, yielding at least every 0.5 s."""
        while not self._done():
            yield from self._train_epoch()
            yield (yield from self._finish_epoch())
        yield (yield from self._finish())

    def trained(self) -> TrainedModel:
        """The model as it is now. Shares weights with the run: use it between two steps."""
        return TrainedModel(
            self._model,
            self._tokenizer,
            self.config,
            self._registry,
            unseen=self._unseen,
            step=self._step,
        )

    def state(self) -> Checkpoint:
        """Everything needed to go on from here; valid after any yield.

        Raises:
            DivergedError: a loss or a weight is not finite, so the state is worth nothing.
        """
        self._check_losses()
        if not all(bool(weight.isfinite().all()) for weight in self._model.parameters()):
            raise DivergedError(self._epoch + 1, self._step, math.nan)
        tensors = {f"model.{k}": v.clone() for k, v in self._model.state_dict().items()}
        if self._best_step != self._step:  # else they are the model's
            tensors |= {f"best.{k}": v for k, v in self._best.items()}
        tensors |= {f"optimizer.{k}": v.clone() for k, v in self._optimization.tensors().items()}
        for layer, state in enumerate(self._states):
            tensors |= {f"state.{layer}.{i}": t.clone() for i, t in enumerate(state)}
        tensors["losses"] = self._losses[: self._position].clone()
        return Checkpoint(tensors, self._meta())

    # Building

    def _build_tokenizer(self) -> Tokenizer:
        registration = self._registry.find("tokenizer", self.config.tokenizer)
        options = registration.options_from(self.config.tokenizer_options)
        tokenizer: Tokenizer = registration.load().train(self._parts.training, options)
        return tokenizer

    def _build_sampler(self, length: int) -> Sampler:
        options = self.config.training
        sampler_class = self._registry.find("sampler", self.config.sampler).load()
        sampler: Sampler = sampler_class(
            length, options.batch_size, options.window, **self.config.sampler_options
        )
        if sampler.steps < 1:
            raise CorpusError(
                f"the training text has {counted(length, 'character')}, too few for one batch of "
                f"training.batch_size = {options.batch_size} windows of "
                f"training.window = {options.window}: lower them or use a longer text"
            )
        return sampler

    def _seen_once(self) -> Tensor | None:
        """Positions whose id occurs once, when there is an `<unk>` to train from them."""
        if self._tokenizer.unknown_id is None:
            return None
        counts_V = torch.bincount(self._ids, minlength=len(self._tokenizer.tokens))
        return (counts_V[self._ids] == 1).nonzero().squeeze(1)

    # One epoch

    def _begin(self) -> None:
        self._step = 0  # optimizer steps done
        self._epoch = 0  # epochs reported
        self._position = 0  # steps done in the epoch that is not reported yet
        self._losses = torch.zeros(self._sampler.steps, dtype=torch.float64, device=self._device)
        self._checked = 0  # losses of this epoch known to be finite
        self._best: dict[str, Tensor] = {}
        self._best_nats: float | None = None
        self._best_epoch = self._best_step = 0
        self._disappointments = 0  # validations since the best one
        self._states: States = self._zero_states()

    def _zero_states(self) -> States:
        return self._model.initial_state(self.config.training.batch_size)

    def _train_epoch(self) -> Iterator[Progress]:
        starts_SB = self._starts()
        ids = self._epoch_ids()
        window_T1 = torch.arange(self.config.training.window + 1, device=self._device).unsqueeze(1)
        while self._position < self._sampler.steps:
            self._train_step(ids[starts_SB[self._position] + window_T1])
            if self._clock.due():
                self._check_losses()
                yield self._progress("training")
        self._check_losses()

    def _train_step(self, ids_TB: Tensor) -> None:
        if not self._sampler.carries_state:
            self._states = self._zero_states()
        self._noise.manual_seed(derived(self.config.training.seed, "noise", self._step))
        y_TBH, states = self._model(ids_TB[:-1], self._states, self._noise)
        loss = self._model.loss(y_TBH, ids_TB[1:])
        self._optimization.step(loss, self._step)
        self._states = detached(states)
        self._losses[self._position] = loss.detach()
        self._position += 1
        self._step += 1
        self._clock.trained(self.config.training.batch_size * self.config.training.window)

    def _starts(self) -> Tensor:
        generator = torch.Generator().manual_seed(self._seed_of_epoch("windows"))
        return self._sampler.starts(generator).to(self._device)

    def _epoch_ids(self) -> Tensor:
        """The training ids, some characters seen once standing as `<unk>` this epoch.

        Source: C. Dyer et al., "Transition-based dependency parsing with stack long short-term
        memory", ACL 2015, replaces singletons with probability one half.
        """
        if self._once is None or not len(self._once):
            return self._ids
        generator = torch.Generator().manual_seed(self._seed_of_epoch("unknown"))
        chosen = torch.rand(len(self._once), generator=generator) < _UNKNOWN_PROBABILITY
        ids = self._ids.clone()
        ids[self._once[chosen.to(self._device)]] = self._tokenizer.unknown_id or 0
        return ids

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
        if self._parts.validation and (epoch % options.evaluate_every == 0 or last):
            valid = yield from self._evaluate(self._model, "validation", parallel=True)
            if not math.isfinite(valid.nats_per_character):
                raise DivergedError(epoch, self._step, valid.nats_per_character)
        train_perplexity = self._train_perplexity() or math.nan
        lyrics: tuple[Lyric, ...] = ()
        if epoch % options.report_every == 0 or self._would_end(epoch, valid):
            lyrics = yield from self._write_lyrics()
        # From here to the report there is no yield: a state never lies between the two.
        self._epoch, self._position, self._checked = epoch, 0, 0
        self._states = self._zero_states()
        best = self._judge(valid)
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

    def _judge(self, valid: HeldOut | None) -> bool:
        """Keeps the weights if they are the best so far; counts disappointments otherwise."""
        if valid is None:
            return False
        if self._disappoints(valid):
            self._disappointments += 1
            return False
        self._best = {k: v.detach().clone() for k, v in self._model.state_dict().items()}
        self._best_nats = valid.nats_per_character
        self._best_epoch, self._best_step = self._epoch, self._step
        self._disappointments = 0
        return True

    def _disappoints(self, valid: HeldOut | None) -> bool:
        if valid is None or self._best_nats is None:
            return False
        return valid.nats_per_character >= self._best_nats

    def _would_end(self, epoch: int, valid: HeldOut | None) -> bool:
        """Whether the run is over with this epoch and its validation."""
        patience = self.config.training.patience
        disappointments = self._disappointments + 1 if self._disappoints(valid) else 0
        return epoch == self.config.training.epochs or 0 < patience <= disappointments

    def _done(self) -> bool:
        options = self.config.training
        return self._epoch >= options.epochs or 0 < options.patience <= self._disappointments

    def _finish(self) -> Generator[Progress, None, Finished]:
        """Measures the best weights by the reported procedure, once."""
        model = self._model
        if self._best:
            model = build_model(self.config, len(self._tokenizer.tokens), self._registry)
            model = model.to(self._device, self.plan.torch_dtype)
            model.load_state_dict(self._best)
        held_out: dict[str, HeldOut] = {}
        for part in ("validation", "test"):
            if getattr(self._parts, part):
                held_out[part] = yield from self._evaluate(model, part, parallel=False)
        return Finished(
            step=self._step,
            epoch=self._epoch,
            best_epoch=self._best_epoch or self._epoch,
            stopped_early=self._epoch < self.config.training.epochs,
            held_out=held_out,
        )

    def _evaluate(
        self, model: LanguageModel, part: str, *, parallel: bool
    ) -> Generator[Progress, None, HeldOut]:
        segments = getattr(self._parts, part)
        steps = evaluation(
            model,
            self._tokenizer,
            segments,
            part=part,
            unseen=self._unseen,
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
        """Goes through `steps`, giving a sign of life where one is due; returns their result."""
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
        """Exp of the running mean over the epoch so far; None before its first step."""
        if self._position == 0:
            return None
        mean = float(self._losses[: self._position].mean())
        return math.exp(min(mean, 700.0))

    def _seconds_left(self) -> float | None:
        return self._clock.seconds_for(self._steps - self._step)

    def _progress(self, phase: str) -> Progress:
        return Progress(
            step=self._step,
            steps=self._steps,
            epoch=min(self._epoch + 1, self.config.training.epochs),
            epochs=self.config.training.epochs,
            train_perplexity=self._train_perplexity(),
            characters_per_second=self._clock.speed(),
            seconds_left=self._seconds_left(),
            phase=phase,
        )

    # Saving

    def _meta(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "epoch": self._epoch,
            "position": self._position,
            "best_nats": self._best_nats,
            "best_epoch": self._best_epoch,
            "best_step": self._best_step,
            "disappointments": self._disappointments,
            "config": self.config.to_json(),
            "plan": self.plan.to_json(),
            "vocabulary": dict(self._tokenizer.to_json()),
            "content_hash": self._parts.content_hash,
            "text_hash": hashlib.sha256(self._parts.training.encode()).hexdigest(),
            "unseen": self._unseen,
            "plugins": self._plugins(),
        }

    def _plugins(self) -> list[dict[str, Any]]:
        config, find = self.config, self._registry.find
        return [
            find("cell", config.cell).record(config.cell_options),
            find("sampler", config.sampler).record(config.sampler_options),
            find("tokenizer", config.tokenizer).record(config.tokenizer_options),
        ]

    def _options_classes(self) -> dict[str, type[Options]]:
        config, find = self.config, self._registry.find
        return {
            "cell": find("cell", config.cell).options,
            "sampler": find("sampler", config.sampler).options,
            "tokenizer": find("tokenizer", config.tokenizer).options,
        }

    def _restore(self, state: Checkpoint) -> None:
        meta = state.meta
        try:
            self._refuse_other_tensors(state)
            self._model.load_state_dict(state.part("model"))
            self._optimization.load(state.part("optimizer"))
            self._step, self._epoch = _count(meta["step"]), _count(meta["epoch"])
            self._position = self._checked = _count(meta["position"])
            self._best_nats = None if meta["best_nats"] is None else float(meta["best_nats"])
            self._best_epoch, self._best_step = (
                _count(meta["best_epoch"]),
                _count(meta["best_step"]),
            )
            if self._best_nats is not None:
                best = state.part("best") or state.part("model")
                self._best = {k: v.to(self._device, copy=True) for k, v in best.items()}
            if self.config.training.epochs == meta["config"]["training"]["epochs"]:
                self._disappointments = _count(meta["disappointments"])  # else: a fresh patience
            self._losses[: self._position] = state.tensors["losses"].to(self._device)
            self._states = tuple(
                tuple(
                    state.tensors[f"state.{layer}.{i}"].to(self._device, copy=True)
                    for i in range(len(zero))
                )
                for layer, zero in enumerate(self._states)
            )
        except CheckpointError:
            raise
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = (
                textwrap.shorten(str(error)[:1000], 200, placeholder=" …") or type(error).__name__
            )
            raise CheckpointError(f"the checkpoint does not fit this job: {reason}") from None

    def _refuse_other_tensors(self, state: Checkpoint) -> None:
        """Compares the shapes of all tensors, since PyTorch would repeat or convert some."""
        model = self._model.state_dict()
        wanted = {f"model.{name}": weight for name, weight in model.items()}
        if state.part("best"):
            wanted |= {f"best.{name}": weight for name, weight in model.items()}
        for layer, tensors in enumerate(self._states):
            wanted |= {f"state.{layer}.{i}": tensor for i, tensor in enumerate(tensors)}
        wanted["losses"] = self._losses[: _count(state.meta["position"])]
        # The optimizer compares its own.
        found = {k: v for k, v in state.tensors.items() if not k.startswith("optimizer.")}
        difference = shape_difference(found, wanted)
        if difference is not None:
            raise ValueError(difference)


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} where a count belongs")
    return value
