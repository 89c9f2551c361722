"""The training text as ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from versemill.evaluation.perplexity import unseen_share

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from versemill.plugins.contracts import Tokenizer

_UNKNOWN_PROBABILITY = 0.5  # of a character seen once, to be trained as <unk> in an epoch


@dataclass(frozen=True, kw_only=True, eq=False)
class TextIds:
    """The training text as ids, N of them.

    Attributes:
        ids: int64 [N].
        seen_once: positions, int64 [K], whose id occurs once; None if there is no `<unk>` to train
            from them.
        unknown_id: the id of `<unk>`; None if there is none.
        unseen_share: `perplexity.unseen_share` of the ids.
        ids_per_character: N divided by the characters of the text, which turns figures per id into
            figures per character; exactly 1 for a tokenizer of characters.
    """

    ids: Tensor
    seen_once: Tensor | None
    unknown_id: int | None
    unseen_share: float
    ids_per_character: float

    @classmethod
    def of(cls, text: str, tokenizer: Tokenizer, *, device: torch.device) -> Self:
        """Encodes the text."""
        encoded = tokenizer.encode(text)
        ids = torch.tensor(encoded, dtype=torch.int64, device=device)
        seen_once = None
        if tokenizer.unknown_id is not None:
            counts_V = torch.bincount(ids, minlength=len(tokenizer.tokens))
            seen_once = (counts_V[ids] == 1).nonzero().squeeze(1)
        return cls(
            ids=ids,
            seen_once=seen_once,
            unknown_id=tokenizer.unknown_id,
            unseen_share=unseen_share(encoded),
            ids_per_character=len(encoded) / max(1, len(text)),
        )

    def of_epoch(self, seed: int) -> Tensor:
        """The ids, [N]; some of those that occur once are replaced by `<unk>`, by the seed.

        Source: C. Dyer et al., "Transition-based dependency parsing with stack long short-term
        memory", ACL 2015, replaces singletons with probability one half.
        """
        if self.seen_once is None or not len(self.seen_once):
            return self.ids
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.rand(len(self.seen_once), generator=generator) < _UNKNOWN_PROBABILITY
        ids = self.ids.clone()
        ids[self.seen_once[chosen.to(ids.device)]] = self.unknown_id or 0
        return ids
