"""Batches of torch tensors, and what losses of them are compared by."""

import torch


def batch(n=600, classes=10, dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(n, classes, dtype=dtype).mul_(3), torch.randint(0, classes, (n,))


def gradient(loss, z, **how):
    z = z.detach().clone().requires_grad_()
    loss(z).backward(**how)
    return z.grad


def close(got, want, tolerance=1e-6):
    assert got.dtype == want.dtype and got.shape == want.shape
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)
