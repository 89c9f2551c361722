"""Cell and decoder keep what Versemill asks of every cell and every decoder."""

import torch

from versemill.testing import CellTests, DecoderTests


class TestMgu(CellTests):
    name = "mgu"

    def test_a_closed_gate_keeps_the_state(self) -> None:
        cell = self.build()
        with torch.no_grad():
            cell.input.bias[: cell.output_size] = -50
        h = torch.randn(3, cell.output_size, dtype=torch.float64)
        _, (after,) = cell.recur(cell.project(torch.zeros(7, 3, 4, dtype=torch.float64)), (h,))
        assert torch.allclose(after, h)


class TestMinP(DecoderTests):
    name = "min-p"

    def test_it_keeps_what_is_likely_enough(self) -> None:
        decoder = self.registration().load()(share=0.5)
        logits = torch.tensor([[0.4, 0.3, 0.15, 0.15]]).log()
        kept = decoder(logits, torch.zeros(1, 0, dtype=torch.int64)).isfinite()
        assert kept.tolist() == [[True, True, False, False]]
