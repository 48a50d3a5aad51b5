"""The paper's losses, one function an equation. All return scalars unless a shape is stated."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cfanet.align import crop_points
from cfanet.structure import structure_correlations

_WINDOW = 7  # side of SSIM's windows, as scikit-image sets it
_C1, _C2 = 0.02**2, 0.06**2  # (K1 L)² and (K2 L)² of Wang et al. (2004) for values of a range L = 2
_WIDTH = 0.08  # of the weight around an eye or the mouth, as a share of the crop's side
_MOUTH = 6.0  # in the middle of the mouth and its corners, where the rest of the face has 1


def cosine(u: Tensor, v: Tensor) -> Tensor:
    """Cos(·, ·) of (N, d) vectors, in float32; (N,)."""
    return F.cosine_similarity(u.float(), v.float(), dim=-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (N,) values where (N,) mask is true; 0 when it never is."""
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def reconstruction(x: Tensor, restored: Tensor) -> Tensor:
    """Eq. 8, and Eq. 1 with x^cross: L1 per picture; (N, 3, R, R) twice → (N,)."""
    return (x.float() - restored.float()).abs().mean((1, 2, 3))


def luminance(crops: Tensor) -> Tensor:
    """(N, 3, R, R) → (N, 1, R, R), ITU-R BT.601."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=crops.device, dtype=crops.dtype)[:, None, None]
    return (crops * weights).sum(1, keepdim=True)


def pooled_colour(x: Tensor, cross: Tensor) -> Tensor:
    """Ours: L1 between local chroma and coarse luma; what skin and light look like, not where features are; (N,).

    Chroma (BT.601) over 16 × 16 regions: no violet mouths. Luma over 4 × 4: light and hair, but no eyes or brows, whose
    place and darkness belong to the identity.
    """
    difference = x.float() - cross.float()
    luma = luminance(difference)
    chroma = F.adaptive_avg_pool2d(difference - luma, 16).abs().mean((1, 2, 3))
    return chroma + F.adaptive_avg_pool2d(luma, 4).abs().mean((1, 2, 3))


def kept(x: Tensor, cross: Tensor) -> Tensor:
    """Ours: L1 per picture over what a 2 × 2 mean leaves: expression, glasses, shadows stay where they are; (N,)."""
    return F.avg_pool2d(x.float() - cross.float(), 2).abs().mean((1, 2, 3))


def structure(x: Tensor, cross: Tensor, eyes: float) -> Tensor:
    """Ours: 1 − SSIM (Wang et al., 2004) of the luminance per picture, eyes and mouth counted more; (N,).

    What an expression is made of (lids, lips, the direction of a look) are small shapes that an L1 hardly weighs.
    (N, 3, R, R) each, in [-1, 1]; `eyes` is what their middle counts.
    """
    a, b = luminance(x.float()), luminance(cross.float())
    ssim = ssim_map(a, b)[:, 0]
    weight = expression_weight(x.shape[-1], eyes).to(ssim)
    inner = slice(_WINDOW // 2, x.shape[-1] - _WINDOW // 2)
    return 1.0 - (ssim * weight[inner, inner]).sum((1, 2)) / weight[inner, inner].sum()


def fine_structure(x: Tensor, cross: Tensor, free: float) -> Tensor:
    """Ours: how far the correlation of fine structure, of which the closed loop has a limit, lies above `free`; (N,).

    A likeness of the old face that no recognizer sees still shows whose picture it was. (N, 3, R, R) each, in [-1, 1].
    """
    return (structure_correlations(x, cross).float() - free).clamp_min(0.0)


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of every window of 7 × 7 pixels; (N, C, R, R) float32 of a range of 2, twice → (N, C, R − 6, R − 6)."""

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, _WINDOW, stride=1)

    mean_a, mean_b = mean(a), mean(b)
    variance = mean(a * a) + mean(b * b) - mean_a * mean_a - mean_b * mean_b
    covariance = mean(a * b) - mean_a * mean_b
    likeness = (2.0 * mean_a * mean_b + _C1) * (2.0 * covariance + _C2)
    return likeness / ((mean_a * mean_a + mean_b * mean_b + _C1) * (variance + _C2))


def expression_weight(side: int, eyes: float) -> Tensor:
    """How much each pixel of an aligned crop of `side` pixels says about the expression; (side, side), at least 1."""
    right_eye, left_eye, _, right_corner, left_corner = torch.from_numpy(crop_points(side))
    centres = torch.stack([right_eye, left_eye, right_corner, (right_corner + left_corner) / 2, left_corner])
    line = torch.arange(side) + 0.5
    down = line[None, :, None] - centres[:, 1, None, None]
    across = line[None, None] - centres[:, 0, None, None]
    squared = down**2 + across**2
    bumps = torch.exp(-squared / (2.0 * (_WIDTH * side) ** 2))
    most = torch.tensor([eyes, eyes, _MOUTH, _MOUTH, _MOUTH])[:, None, None]
    return 1.0 + ((most - 1.0) * bumps).amax(0)


def fools(logits: Tensor) -> Tensor:
    """−log D(fake): the generator's side of Eq. 2 and Eq. 7 (non-saturating)."""
    return F.softplus(-logits.float()).mean()


def discriminates(real: Tensor, fake: Tensor) -> Tensor:
    """−log D(real) − log(1 − D(fake)): the discriminator's side of Eq. 2 and Eq. 7."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """E |∇_x D(x)|² on real pictures (Mescheder et al., 2018); `real` must require gradients."""
    (gradient,) = torch.autograd.grad(logits.float().sum(), real, create_graph=True)
    return gradient.float().square().sum((1, 2, 3)).mean()


def generated_identity(of_cross: Tensor, of_y: Tensor) -> Tensor:
    """First term of Eq. 4: 1 − Cos(R_id(x^cross), R_id(y)); (N, d) each."""
    return (1.0 - cosine(of_cross, of_y)).mean()


def encoded_identity(z_y: Tensor, of_y: Tensor) -> Tensor:
    """Second term of Eq. 4: 1 − Cos(z_y, R_id(y)); (N, d) each."""
    return (1.0 - cosine(z_y, of_y)).mean()


def identity_smoothness(at_t: Tensor, at_t_plus: Tensor) -> Tensor:
    """Eq. 5 as |u − v|² / 2, which equals 1 − Cos(u, v) for unit vectors and does not vanish by rounding.

    `at_t`, `at_t_plus` (N, d): R_id of the faces decoded at slerp(z_x, z_y, t) and (…, t + ε), float32.
    """
    u, v = F.normalize(at_t.float(), dim=-1), F.normalize(at_t_plus.float(), dim=-1)
    return ((u - v).square().sum(-1) / 2.0).mean()
