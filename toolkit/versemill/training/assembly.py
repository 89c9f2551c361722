"""Building a run: from a job and its text to tokenizer, ids, sampler, network and optimizer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from versemill.errors import CorpusError
from versemill.nn.network import build_model
from versemill.phrases import counted
from versemill.plugins.selection import Selection
from versemill.training.feasibility import check_memory
from versemill.training.optimizers import Optimization
from versemill.training.text_ids import TextIds

if TYPE_CHECKING:
    from versemill.config.job import JobConfig
    from versemill.nn.machine import KernelPlan
    from versemill.nn.network import LanguageModel
    from versemill.plugins.contracts import Sampler, Tokenizer
    from versemill.plugins.registry import Registry
    from versemill.text.splitting import Parts


@dataclass(frozen=True, kw_only=True, eq=False)
class Assembly:
    """What a run is made of, before its first step.

    The run changes the weights and the optimizer's tensors; it changes nothing else.

    Attributes:
        config: the job.
        plan: how the run computes.
        parts: training, validation and test text.
        selection: the job's plugins.
        tokenizer: trained on the training text.
        text: the training text as ids.
        sampler: chooses the windows.
        model: the network, its weights drawn from the training seed, on the plan's device.
        optimization: updates the weights.
        steps: steps of the whole run.
        text_hash: SHA-256 of the training text.
    """

    config: JobConfig
    plan: KernelPlan
    parts: Parts
    selection: Selection
    tokenizer: Tokenizer
    text: TextIds
    sampler: Sampler
    model: LanguageModel
    optimization: Optimization
    steps: int
    text_hash: str

    @property
    def device(self) -> torch.device:
        """Where the run computes."""
        return torch.device(self.plan.device)

    def new_model(self) -> LanguageModel:
        """Another network like the run's, as it was before the first step."""
        return _model(self.selection, self.tokenizer, self.plan)


def assemble(parts: Parts, config: JobConfig, registry: Registry, plan: KernelPlan) -> Assembly:
    """Builds a run; deterministic for its arguments.

    Raises:
        CorpusError: the training text is too short for one batch of windows.
        ConfigError: an option that a plugin does not take.
        NotEnoughMemoryError: the network needs more memory than there is.
        UnknownNameError: a plugin is missing.
        PluginError: a plugin cannot be loaded.
    """
    selection = Selection(config, registry)
    tokenizer = _tokenizer(selection, parts.training)
    text = TextIds.of(parts.training, tokenizer, device=torch.device(plan.device))
    sampler = _sampler(selection, len(text.ids), len(parts.training))
    # Checked when the job was submitted, but perhaps on another machine, or not by us.
    check_memory(selection, len(tokenizer.tokens), device=plan.device)
    model = _model(selection, tokenizer, plan)
    steps = config.training.epochs * sampler.steps
    return Assembly(
        config=config,
        plan=plan,
        parts=parts,
        selection=selection,
        tokenizer=tokenizer,
        text=text,
        sampler=sampler,
        model=model,
        optimization=Optimization(model, config.training, steps),
        steps=steps,
        text_hash=hashlib.sha256(parts.training.encode()).hexdigest(),
    )


def _tokenizer(selection: Selection, text: str) -> Tokenizer:
    chosen = selection.tokenizer
    options = chosen.registration.options_from(chosen.options)
    tokenizer: Tokenizer = chosen.load().train(text, options)
    return tokenizer


def _sampler(selection: Selection, length: int, characters: int) -> Sampler:
    chosen, options = selection.sampler, selection.config.training
    sampler: Sampler = chosen.load()(length, options.batch_size, options.window, **chosen.options)
    if sampler.steps < 1:
        unit = "" if length == characters else f" in {counted(length, 'id')}"
        raise CorpusError(
            f"the training text has {counted(characters, 'character')}{unit}, too few for one "
            f"batch of training.batch_size = {options.batch_size} windows of "
            f"training.window = {options.window}: lower them or use a longer text"
        )
    return sampler


def _model(selection: Selection, tokenizer: Tokenizer, plan: KernelPlan) -> LanguageModel:
    model = build_model(selection, len(tokenizer.tokens))
    return model.to(torch.device(plan.device), plan.torch_dtype)
