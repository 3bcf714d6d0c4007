"""A convolutional variational autoencoder of contact maps, after DeepDriveMD (Lee et al., DLS 2019).

What travels between tasks is plain: `State` is a dictionary of numpy arrays and numbers (weights, Adam's moments,
the loss of each epoch), never a pickled module. Training and embedding are functions of (state, images, seed); the
number of threads is that of ``OMP_NUM_THREADS``, 1 where it is not set.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from torch import nn

from workbench import task

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATENT = 8
BATCH = 64
RATE = 1e-3
_CHANNELS = 16
_HIDDEN = 64
_CORE = _CHANNELS * 9 * 9  # 36 x 36 images halved twice


class State(TypedDict):
    """A trained model: everything that continuing its training needs."""

    weights: dict[str, NDArray[Any]]
    moments: dict[str, list[NDArray[Any]]]  # of Adam, in the order of the parameters: first, second
    updates: int
    losses: list[float]  # mean loss of each epoch so far, nats per frame
    cpu_s: float  # spent on training so far


class Vae(nn.Module):
    """Two strided convolutions to a Gaussian of `LATENT` dimensions, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, _CHANNELS, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(_CORE, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, 2 * LATENT),
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _CORE),
            nn.ReLU(),
            nn.Unflatten(1, (_CHANNELS, 9, 9)),
            nn.ConvTranspose2d(_CHANNELS, _CHANNELS, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(_CHANNELS, 1, 4, 2, 1),
        )

    def loss(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Negative evidence lower bound, nats per frame, of images `x` (n, 1, 36, 36) with `noise` (n, LATENT)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        logits = self.decoder(mean + noise * (0.5 * log_variance).exp())
        reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()
        return reconstruction + divergence


def use_threads() -> None:
    """Compute with as many threads as the attempt was given cores."""
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1") or 1)))


def train(images: NDArray[np.float32], state: State | None, *, epochs: int, seed: int) -> State:
    """Train on `images` (n, 1, 36, 36) for `epochs` passes, from `state` or from scratch; gives the new state.

    `state` is not changed. The same arguments give the same state on the same machine and number of threads. On a
    request to stop, training ends after the epoch under way. Without images the state stays as it is.
    """
    use_threads()
    began = time.process_time()
    torch.manual_seed(seed)
    model = Vae()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    losses = list(state["losses"]) if state else []
    if state:
        _load(model, optimizer, state)
    random = torch.Generator().manual_seed(seed)
    x = torch.from_numpy(images)
    for epoch in range(epochs if len(x) else 0):
        total = 0.0
        for batch in torch.randperm(len(x), generator=random).split(BATCH):
            noise = torch.randn(len(batch), LATENT, generator=random)
            loss = model.loss(x[batch], noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(batch)
        losses.append(total / len(x))
        task.report(loss=round(losses[-1], 3), frames=len(x))
        task.progress((epoch + 1) / epochs)
        if task.should_stop():
            break
    return _save(model, optimizer, losses, (state["cpu_s"] if state else 0.0) + time.process_time() - began)


def embed(images: NDArray[np.float32], state: State) -> NDArray[np.float32]:
    """Latent means (n, LATENT) of `images` (n, 1, 36, 36)."""
    use_threads()
    model = Vae()
    model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state["weights"].items()})
    with torch.no_grad():
        parts = [model.encoder(torch.from_numpy(images[i : i + 512]))[:, :LATENT] for i in range(0, len(images), 512)]
    return np.asarray(torch.cat(parts).numpy()) if parts else np.zeros((0, LATENT), dtype=np.float32)


def _load(model: Vae, optimizer: torch.optim.Adam, state: State) -> None:
    model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state["weights"].items()})
    for p, first, second in zip(model.parameters(), state["moments"]["first"], state["moments"]["second"], strict=True):
        optimizer.state[p] = {
            "step": torch.tensor(float(state["updates"])),
            "exp_avg": torch.from_numpy(np.array(first)),
            "exp_avg_sq": torch.from_numpy(np.array(second)),
        }


def _save(model: Vae, optimizer: torch.optim.Adam, losses: list[float], cpu_s: float) -> State:
    fresh = {"step": torch.tensor(0.0)}
    moments = [
        optimizer.state.get(p) or {**fresh, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        for p in model.parameters()
    ]
    return State(
        weights={k: v.detach().numpy().copy() for k, v in model.state_dict().items()},
        moments={
            "first": [m["exp_avg"].detach().numpy().copy() for m in moments],
            "second": [m["exp_avg_sq"].detach().numpy().copy() for m in moments],
        },
        updates=int(moments[0]["step"].item()),
        losses=losses,
        cpu_s=cpu_s,
    )
