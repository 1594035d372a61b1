"""Teaching the network on painted defects. The only file that knows torch, and only when it is asked to train."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ingest.errors import BadInput
from vision.image import Grey
from vision.network.model import LAYERS, LOG_OFFSET, LOW_PASS, TrainedNet, wire
from vision.network.samples import Batch, Symmetry, draw_batch
from vision.training.synthetic import KINDS, Kind

STEPS = 700  # at _STEP_PIXELS; about two minutes of one core
_STEP_PIXELS = 256 * 256
_STEPS_MIN = 200
_BATCH = 8
_RATE = 4e-3  # the highest, of a cycle that warms up and cools down (Smith & Topin 2018)
_DECAY = 1e-3
_FOCUS = 1.5  # of the focal loss (Lin et al. 2017): easy background must not drown the defects
_PIXEL_WEIGHT, _OVERLAP_WEIGHT = 4.0, 0.3
_PRIOR = -3.0  # logit of the share of defect cells to begin with
_NORM_MOMENTUM, _NORM_EPSILON = 0.05, 1e-5
PICTURES_MIN = 8
_REPORTS = 10
_ONE_AT_A_TIME = (
    threading.Lock()
)  # torch's threads and randomness belong to the whole process; cameras train side by side


def steps_for(pictures: Sequence[Grey]) -> int:
    """As many as take about the same time whatever the frames' size."""
    return int(min(max(STEPS * _STEP_PIXELS // max(pictures[0].size, 1), _STEPS_MIN), STEPS))


def train_net(
    pictures: Sequence[Grey],
    seed: int,
    progress: Callable[[str], None],
    steps: int | None = None,
    kinds: tuple[Kind, ...] = KINDS,
) -> TrainedNet:
    """Teach the network to find painted defects on good frames.

    pictures: good frames, float32[rows, columns] in 0..255, all of one shape, sides multiples of 4. Runs on one thread;
    equal arguments give equal weights on the same machine. Raises BadInput without torch or with too few frames.
    """
    torch = _torch()
    if len(pictures) < PICTURES_MIN:
        raise BadInput(f"{len(pictures)} good frames are too few to train a network: at least {PICTURES_MIN} needed")
    steps = steps or steps_for(pictures)
    rng, symmetry = np.random.default_rng(seed), Symmetry.of(pictures)
    with _alone(torch, seed):
        learner = _Learner(torch)
        optimiser = torch.optim.AdamW(learner.parameters, lr=_RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
        total = 0.0
        for step in range(1, steps + 1):
            loss = _loss(torch, learner, draw_batch(rng, pictures, symmetry, kinds, _BATCH))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
            if step % max(steps // _REPORTS, 1) == 0:
                progress(f"network: step {step} of {steps}, loss {total / max(steps // _REPORTS, 1):.3f}")
                total = 0.0
        return learner.folded()


def require_torch() -> None:
    """Raises BadInput where torch is not installed: to be asked before hours are spent."""
    _torch()


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise BadInput("training a network needs torch, which is not installed: pip install 'qcfuse[train]'") from error


@contextmanager
def _alone(torch: Any, seed: int) -> Iterator[None]:
    """One thread and our own randomness; both are put back."""
    with _ONE_AT_A_TIME:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums in one order: equal input gives equal weights
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                yield
        finally:
            torch.set_num_threads(threads)


def _loss(torch: Any, learner: _Learner, batch: Batch) -> Any:
    """Focal loss of the cells and overlap (Dice, Milletari et al. 2016) of the frames."""
    functional = torch.nn.functional
    defect, counts = torch.from_numpy(batch.defect), torch.from_numpy(batch.counts)
    logits = wire(learner, torch.from_numpy(batch.frames))
    chance = torch.sigmoid(logits)
    missed = (chance - defect).abs()  # one less the probability of the truth
    cells = functional.binary_cross_entropy_with_logits(logits, defect, reduction="none")
    focal = (cells * missed**_FOCUS * counts).mean()
    both = (chance * defect).sum((1, 2, 3))
    either = ((chance + defect) * counts).sum((1, 2, 3))
    overlap = (1 - (2 * both + 1) / (either + 1)).mean()
    return _PIXEL_WEIGHT * focal + _OVERLAP_WEIGHT * overlap


def torch_logits(trained: TrainedNet, frames: Grey) -> Grey:
    """The trained network in torch, to check the graph against: float32[n, 1, h / 4, w / 4] from [n, 1, h, w]."""
    torch = _torch()
    with torch.no_grad():
        logits: Grey = wire(_Trained(torch, trained), torch.from_numpy(frames)).numpy()
    return logits


class _TorchOperators:
    """The network's operators on torch's tensors, all but the layers."""

    def __init__(self, torch: Any) -> None:
        self._torch, self._functional = torch, torch.nn.functional

    def log(self, frame: Any) -> Any:
        return (frame * (1 / 255) + LOG_OFFSET).log()

    def low_passed(self, value: Any) -> Any:
        pooled = self._functional.avg_pool2d(value, LOW_PASS)
        return self._functional.interpolate(pooled, scale_factor=LOW_PASS, mode="bilinear")

    def centred(self, value: Any, share: float) -> Any:
        apart = value - value.mean((1, 2, 3), keepdim=True)
        return apart / ((apart * apart).mean((1, 2, 3), keepdim=True).sqrt() + share)

    def less(self, value: Any, other: Any) -> Any:
        return value - other

    def plus(self, value: Any, other: Any) -> Any:
        return value + other

    def beside(self, value: Any, other: Any) -> Any:
        return self._torch.cat([value, other], 1)

    def doubled(self, value: Any) -> Any:
        return self._functional.interpolate(value, scale_factor=2, mode="nearest")

    def _convolved(self, name: str, value: Any, kernel: Any, bias: Any = None) -> Any:
        layer = LAYERS[name]
        return self._functional.conv2d(value, kernel, bias, layer.stride, layer.padding, layer.dilation)


class _Trained(_TorchOperators):
    def __init__(self, torch: Any, trained: TrainedNet) -> None:
        super().__init__(torch)
        self._trained = trained

    def layer(self, name: str, value: Any) -> Any:
        kernel, bias = self._trained.kernels[name], self._trained.biases[name]
        convolved = self._convolved(name, value, *(self._torch.from_numpy(weights) for weights in (kernel, bias)))
        return convolved if name == "logit" else convolved.relu()


class _Learner(_TorchOperators):
    """In training: every layer but the last is normalised over the batch (Ioffe & Szegedy 2015)."""

    def __init__(self, torch: Any) -> None:
        super().__init__(torch)
        self._kernels: dict[str, Any] = {}
        self._scales: dict[str, Any] = {}
        self._shifts: dict[str, Any] = {}
        self._means: dict[str, Any] = {}
        self._variances: dict[str, Any] = {}
        for name, layer in LAYERS.items():
            kernel = torch.empty(layer.shape)
            torch.nn.init.kaiming_normal_(kernel, nonlinearity="relu")  # He et al. 2015
            self._kernels[name] = kernel.requires_grad_()
            self._shifts[name] = torch.full((layer.outputs,), _PRIOR if name == "logit" else 0.0).requires_grad_()
            if name != "logit":
                self._scales[name] = torch.ones(layer.outputs).requires_grad_()
                self._means[name], self._variances[name] = torch.zeros(layer.outputs), torch.ones(layer.outputs)

    @property
    def parameters(self) -> list[Any]:
        return [*self._kernels.values(), *self._scales.values(), *self._shifts.values()]

    def layer(self, name: str, value: Any) -> Any:
        if name == "logit":
            return self._convolved(name, value, self._kernels[name], self._shifts[name])
        return self._functional.batch_norm(
            self._convolved(name, value, self._kernels[name]), self._means[name], self._variances[name],
            self._scales[name], self._shifts[name], training=True, momentum=_NORM_MOMENTUM, eps=_NORM_EPSILON,
        ).relu()  # fmt: skip

    def folded(self) -> TrainedNet:
        """Normalisation by the running statistics becomes part of kernel and bias."""
        kernels, biases = {}, {}
        for name in LAYERS:
            kernel, shift = (values[name].detach().numpy() for values in (self._kernels, self._shifts))
            if name in self._scales:
                gain = self._scales[name].detach().numpy() / np.sqrt(self._variances[name].numpy() + _NORM_EPSILON)
                kernel, shift = kernel * gain[:, None, None, None], shift - self._means[name].numpy() * gain
            kernels[name], biases[name] = kernel.astype(np.float32), shift.astype(np.float32)
        return TrainedNet(kernels, biases)
