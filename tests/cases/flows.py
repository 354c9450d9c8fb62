"""What holds of every flow, against computations that do not share its code."""

import torch


def check_inverse(flow, z):
    """Each direction undoes the other, and the flow is far from the identity. ``z``: ``(B, *event)``."""
    x, log_det = flow.generate(z)
    again, inverse_log_det = flow.invert(x)
    assert x.shape == z.shape and (x - z).abs().mean() > 0.3
    torch.testing.assert_close(again, z)
    torch.testing.assert_close(inverse_log_det, -log_det)
    assert log_det.std() > 0.1


def check_log_det(flow, z):
    """The log-determinant is that of the Jacobian, whose signs come back, shape ``(B,)``."""
    signs = []
    for point in z:
        jacobian = torch.autograd.functional.jacobian(lambda p: flow.generate(p[None])[0][0], point)
        wanted = torch.linalg.slogdet(jacobian.reshape(point.numel(), point.numel()))
        torch.testing.assert_close(flow.generate(point[None])[1][0], wanted.logabsdet)
        signs.append(wanted.sign)
    return torch.stack(signs)
