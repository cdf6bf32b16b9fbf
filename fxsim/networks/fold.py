"""A trained float network as quantised operators: batch norms become affines, affines go into what stands next to them.

What becomes of each: a token mixer's batch norm stays, as `affine_1`, and its affine as `affine_2`, for a linear over
tokens can take neither in. An mlp's batch norm goes into the first linear (ReLU) or into the first activation's
function; its affine into the last linear. The last batch norm goes into the classifier: it commutes with the average
over tokens. Residual paths get identity affines.
"""

import torch
from torch import Tensor

from fxsim.networks.quantised import QuantisedResMLP, Weighted
from fxsim.networks.resmlp import Affine, Block, ChannelNorm, ResMLP


@torch.no_grad()
def fold(network: ResMLP) -> QuantisedResMLP:
    """The same function as `network` in eval mode, but for float32 rounding, before any step or shift is chosen."""
    # What it draws from torch's generator is overwritten: nobody else should notice.
    with torch.random.fork_rng(devices=[]):
        quantised = QuantisedResMLP(network.config).to(network.embed.weight)
    quantised.eval()
    _set(quantised.weighted("embed"), network.embed.weight, network.embed.bias)
    for i, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        mix, mlp = f"blocks.{i}.token_mixer", f"blocks.{i}.mlp"
        _set(quantised.weighted(f"{mix}.affine_1"), *norm_as_affine(block.token_mixer.norm))
        _set(quantised.weighted(f"{mix}.linear"), block.token_mixer.linear.weight, block.token_mixer.linear.bias)
        _set(quantised.weighted(f"{mix}.affine_2"), block.token_mixer.affine.weight, block.token_mixer.affine.bias)
        scale, offset = norm_as_affine(block.mlp.norm)
        first, last = block.mlp.linear_1, block.mlp.linear_2
        if quantised.table_taps():
            psa_1, psa_2 = quantised.table_function(f"{mlp}.psa_1"), quantised.table_function(f"{mlp}.psa_2")
            assert isinstance(psa_1.affine, Affine)
            psa_1.affine.weight.copy_(scale)
            psa_1.affine.bias.copy_(offset)
            psa_1.activation.load_state_dict(block.mlp.act_1.state_dict())
            psa_2.activation.load_state_dict(block.mlp.act_2.state_dict())
            _set(quantised.weighted(f"{mlp}.linear_1"), first.weight, first.bias)
        else:
            _set(quantised.weighted(f"{mlp}.linear_1"), first.weight * scale, first.bias + first.weight @ offset)
        scale, offset = block.mlp.affine.weight, block.mlp.affine.bias
        _set(quantised.weighted(f"{mlp}.linear_2"), last.weight * scale[:, None], last.bias * scale + offset)
    scale, offset = norm_as_affine(network.norm)
    classifier = network.classifier
    weight = classifier.weight
    _set(quantised.weighted("classifier"), weight * scale, classifier.bias + weight @ offset)
    return quantised


def norm_as_affine(norm: ChannelNorm) -> tuple[Tensor, Tensor]:
    """A batch norm in eval mode as an affine: weight gamma / sqrt(var + eps), bias beta - mean * weight."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    weight = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return weight, norm.bias - norm.running_mean * weight


def _set(layer: Weighted, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
