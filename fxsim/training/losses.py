"""Losses, and the figures that networks are judged by while training."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor, nn

from fxsim.training.loop import Validation
from fxsim.training.splits import Examples

_CHUNK = 256
"""Pictures computed at once where nothing is trained."""


def distillation_loss(logits: Tensor, teacher: Tensor, labels: Tensor, alpha: float, temperature: float) -> Tensor:
    """The mean of alpha T^2 H(softmax(teacher / T), softmax(logits / T)) + (1 - alpha) H(labels, softmax(logits)).

    H is the cross-entropy, T the temperature, the mean over examples (Hinton et al., 2015). `logits` and `teacher` are
    [n, classes], `labels` int64 [n].
    """
    soft = F.cross_entropy(logits / temperature, F.softmax(teacher / temperature, dim=1))
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(logits, labels)


def chunks(tokens: Tensor) -> Iterator[Tensor]:
    """Tokens of a few hundred pictures at a time."""
    for start in range(0, len(tokens), _CHUNK):
        yield tokens[start : start + _CHUNK]


def count_correct(logits: Tensor, labels: Tensor) -> int:
    """Number of greatest logits, the first of equal ones, that are at their labels."""
    return int((logits.argmax(dim=1) == labels).sum())


@torch.no_grad()
def compute_logits(network: nn.Module, tokens: Tensor) -> Tensor:
    """Logits [n, classes] of tokens [n, tokens, values], a chunk at a time."""
    return torch.cat([network(part) for part in chunks(tokens)])


def validate(network: nn.Module, examples: Examples) -> Validation:
    """Mean cross-entropy and accuracy of a network, in the mode that it is in."""
    logits = compute_logits(network, examples.tokens)
    loss = float(F.cross_entropy(logits, examples.labels))
    return Validation(loss, count_correct(logits, examples.labels) / len(examples))
