"""The response norms against the formulas written as loops."""

import pytest
import torch
from torch import Tensor

from alexnet.model import rows
from alexnet.model.norms import ResponseNorm, SameMapNorm

SHAPE = (2, 8, 3, 5)


def looped(x: Tensor, row: rows.ResponseNorm) -> Tensor:
    group = x.shape[1] if row.across else x.shape[1] // row.towers
    outputs = []
    for i in range(x.shape[1]):
        first = i // group * group
        window = range(max(first, i - row.n // 2), min(first + group - 1, i + row.n // 2) + 1)
        total = sum(x[:, j] ** 2 for j in window)
        outputs.append(x[:, i] / (row.k + row.alpha * total) ** row.beta)
    return torch.stack(outputs, 1)


def looped_in_map(x: Tensor, row: rows.SameMapNorm) -> Tensor:
    reach, out = row.n // 2, torch.empty_like(x)
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            window = x[:, :, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
            total = window.square().sum((2, 3))
            out[:, :, i, j] = x[:, :, i, j] / (row.offset + row.scale / row.n**2 * total) ** row.beta
    return out


def random(dtype: torch.dtype = torch.float64, scale: float = 50.0) -> Tensor:
    return (torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * scale).to(dtype)


@pytest.mark.parametrize("n", [1, 3, 4, 5])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("beta", [0.75, 0.5])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_forward_and_gradient_are_the_formulas(n: int, across: bool, beta: float, memory: torch.memory_format) -> None:
    row = rows.ResponseNorm("norm", n, 1e-3, beta, 2.0, across, towers=2)
    x = random().contiguous(memory_format=memory).requires_grad_()
    weights = random(scale=1.0)
    ours, theirs = ResponseNorm(row, 8).double()(x), looped(x, row)
    torch.testing.assert_close(ours, theirs)
    ours_gradient = torch.autograd.grad((ours * weights).sum(), x)[0]
    torch.testing.assert_close(ours_gradient, torch.autograd.grad((theirs * weights).sum(), x)[0])


def test_gradcheck() -> None:
    norm = ResponseNorm(rows.ResponseNorm("norm", alpha=0.1, towers=2), 8).double()
    assert torch.autograd.gradcheck(norm, random(scale=2.0).requires_grad_())


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    norm = ResponseNorm(rows.ResponseNorm("norm", alpha=1e-3), 8)
    x = random(torch.float32)
    whole = norm(x)
    monkeypatch.setattr("alexnet.model.norms._BLOCK", 40)
    torch.testing.assert_close(norm(x), whole)


def test_float32_and_bfloat16_are_right_to_their_rounding() -> None:
    row = rows.ResponseNorm("norm", alpha=1e-3, towers=2)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 1.2e-2)):
        x = random(dtype).requires_grad_()
        exact = x.detach().double().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            ours = ResponseNorm(row, 8)(x)
        assert ours.dtype is dtype
        theirs = looped(exact, row)
        torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)
        gradient = torch.autograd.grad(ours.sum(), x)[0].double()
        torch.testing.assert_close(
            gradient, torch.autograd.grad(theirs.sum(), exact)[0], rtol=tolerance, atol=tolerance
        )


def test_float32_stays_so_under_autocast() -> None:
    norm, x = ResponseNorm(rows.ResponseNorm("norm", alpha=1e-3), 8), random(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(norm(x), norm(x.contiguous()), rtol=0, atol=0)
        assert norm(x).dtype is torch.float32


def test_torch_divides_alpha() -> None:
    x = random(torch.float32)
    ours = ResponseNorm(rows.ResponseNorm("norm", 5, 1e-3 / 5, 0.75, 1.0), 8)(x)
    torch.testing.assert_close(ours, torch.nn.functional.local_response_norm(x, 5, 1e-3, 0.75, 1.0))


def test_same_map_norm_is_the_formula() -> None:
    row, x = rows.SameMapNorm("norm", n=3, scale=0.3), random(scale=3.0).requires_grad_()
    torch.testing.assert_close(SameMapNorm(row)(x), looped_in_map(x, row))
    assert torch.autograd.gradcheck(SameMapNorm(row), x)
    half = SameMapNorm(row)(x.detach().bfloat16())
    torch.testing.assert_close(half.double(), looped_in_map(x.detach(), row), rtol=2e-2, atol=2e-2)
