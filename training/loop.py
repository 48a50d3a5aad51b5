"""The training loop: alternating pairs, Eq. 1–9, two discriminators, an average of the weights, exact resume."""

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cfanet.hypersphere import slerp
from cfanet.networks.discriminator import Discriminator, LocalDiscriminator, PatchDiscriminator, random_patches
from training import losses
from training.checkpoint import STATE_FILE, load_state, save_state
from training.config import TrainingSettings
from training.data import Pairs, PairSampler, pairs_of_steps
from training.distributed import Place, average_gradients
from training.graphs import Graphs
from training.grow import started_generator
from training.guide import Guide
from training.landmarks import LandmarkGuide, random_view, under
from training.making import Making, Step

log = logging.getLogger(__name__)


class Report(Protocol):
    """Who listens to a run."""

    def losses(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Take the loss terms of the step that was just made: scalars on the run's device, which need not be done."""

    def measure(self, step: int) -> None:
        """Look at the weights: called every so many steps and at the end."""


class Trainer:
    """Owns the networks and optimizers of one run."""

    def __init__(
        self,
        settings: TrainingSettings,
        guides: Sequence[Guide],
        device: str = "cpu",
        place: Place | None = None,
        landmarks: LandmarkGuide | None = None,
    ) -> None:
        """The first of `guides` is R_id, on whose sphere z_id lives; the others must agree with it about swaps.

        ValueError where the loss of landmarks is on without a network for it.
        """
        if settings.losses.landmarks > 0 and landmarks is None:
            raise ValueError("losses.landmarks is on, and there is no landmark network")
        self.settings = settings
        self.device = torch.device(device)
        self.place = place or Place()
        network, optimizer = settings.network, settings.optimizer
        torch.manual_seed(settings.schedule.seed)
        self.guide, *self.more_guides = (guide.to(self.device) for guide in guides)
        self.landmarks = landmarks and landmarks.to(self.device)
        self.generator = started_generator(network.generator(self.guide.recognizer.dim), settings.start)
        widths = (network.discriminator_width, network.max_width)
        self.discriminator: nn.Module = (
            PatchDiscriminator(*widths)
            if network.discriminator == "patch"
            else Discriminator(network.resolution, *widths)
        )
        self.local = LocalDiscriminator(network.patch_size, network.discriminator_width, network.max_width)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        for module in self.modules().values():
            module.to(self.device).to(memory_format=torch.channels_last)

        def adam(rate: float, *modules: nn.Module) -> torch.optim.Adam:
            parameters = [p for module in modules for p in module.parameters()]
            return torch.optim.Adam(parameters, lr=rate, betas=optimizer.betas)

        self.generator_optimizer = adam(optimizer.learning_rate, self.generator)
        self.judges_optimizer = adam(optimizer.judges_learning_rate, self.discriminator, self.local)
        # Without detail the number of restored faces differs from step to step.
        self._call = Graphs(self.device, fast_bfloat16(self.device), fixed_shapes=network.detail)
        self._making = Making(self.generator)
        self.step = 0

    def modules(self) -> dict[str, nn.Module]:
        """Every network whose weights are part of the state."""
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
            "local": self.local,
        }

    def run(
        self, sampler: PairSampler, output: Path, report: Report, minutes: float = math.inf, workers: int = 0
    ) -> None:
        """Train until the settings' last step or for `minutes`; saves regularly and at the end; resumes.

        With several processes every one runs this; `minutes` is theirs to keep alike, so the first decides. `workers`
        further processes draw the pairs.
        """
        output.mkdir(parents=True, exist_ok=True)
        state = output / STATE_FILE
        optimizers: dict[str, torch.optim.Optimizer] = {
            "adam": self.generator_optimizer,
            "adam_judges": self.judges_optimizer,
        }
        canonical = self.settings.model_dump_json()
        if state.exists():
            self.step = load_state(state, self.modules(), optimizers, canonical)
            log.info("resumed at step %d", self.step)
        deadline = time.monotonic() + minutes * 60
        schedule = self.settings.schedule
        for pairs in pairs_of_steps(sampler, self.step, schedule.steps, workers):
            if self.place.agreed(time.monotonic() >= deadline):
                break
            values = self.train_step(pairs)
            self.step += 1
            if self.place.first:
                report.losses(self.step, values)
                if self.step % schedule.save_every == 0:
                    save_state(state, self.step, self.modules(), optimizers, canonical)
                if self.step % schedule.measure_every == 0:
                    report.measure(self.step)
        if self.place.first:
            save_state(state, self.step, self.modules(), optimizers, canonical)
            report.measure(self.step)

    def train_step(self, pairs: Pairs) -> dict[str, Tensor]:
        """One update of the generator and, once they are on, of the discriminators; returns the loss terms."""
        pairs = pairs.rows(self.place)
        self._set_rates()
        rng = torch.Generator().manual_seed(self.settings.schedule.seed * 7_919 + self.step + 31 * self.place.rank)
        values: dict[str, Tensor] = {}
        with self._autocast():
            made = self._generate(pairs, rng)
            total = self._generator_loss(made, rng, values)
        self.generator_optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        average_gradients(self.place, [self.generator])
        self.generator_optimizer.step()
        self._update_average()
        if self._adversarial:
            self._train_judges(made, rng, values)
        return {name: value.detach() for name, value in values.items()}

    def _set_rates(self) -> None:
        """Linearly up, constant, then linearly down to 0 at the run's last step."""
        schedule, rates = self.settings.schedule, self.settings.optimizer
        rise = (self.step + 1) / max(1, rates.warmup_steps)
        fall = (schedule.steps - self.step) / max(1, schedule.decay_steps)
        factor = min(1.0, rise, fall)
        for optimizer, rate in (
            (self.generator_optimizer, rates.learning_rate),
            (self.judges_optimizer, rates.judges_learning_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    @property
    def _adversarial(self) -> bool:
        weights = self.settings.losses
        return self.step >= self.settings.schedule.adversarial_from and weights.adversarial + weights.local > 0

    def _generate(self, pairs: Pairs, rng: torch.Generator) -> Step:
        """Forward pass; `pairs` where they were drawn, so that rows are chosen without waiting for a GPU."""
        weights, schedule = self.settings.losses, self.settings.schedule
        own_share = schedule.own_identity_share if self.step >= schedule.own_identity_from else 0.0
        own = torch.rand(len(pairs.same), 1, generator=rng) < own_share
        # Where x and y are the same person, Eq. 1 already asks for x itself: the rest can be left out there.
        judged = torch.ones_like(pairs.same) if weights.every_pair else ~pairs.same
        again = torch.ones_like(judged)
        if not self.settings.network.detail:
            again[max(1, round(len(again) * weights.restored_share)) :] = False
            again = judged & again.roll(int(torch.randint(len(again), (), generator=rng)))
            again = again if again.any() else judged
        rows, again = judged.nonzero()[:, 0].to(self.device), again.nonzero()[:, 0].to(self.device)
        judged, pairs = judged.to(self.device), self._to_device(pairs)
        vectors = torch.stack([pairs.x_embedding, pairs.y_embedding, pairs.turn])
        given = (pairs.x, pairs.y, vectors, pairs.theta_rad, own.to(self.device), again)
        cross, restored, content, as_x, as_y, asked, z_x, z_y = self._call("making", self._making, *given)
        return Step(pairs, cross, judged, rows, again, restored, content, as_x, as_y, asked, z_x, z_y)

    def _generator_loss(self, made: Step, rng: torch.Generator, values: dict[str, Tensor]) -> Tensor:
        """Eq. 9; fills `values` with its unweighted terms."""
        weights, pairs, judged, rows = self.settings.losses, made.pairs, made.judged, made.judged_rows
        values["reconstruction"] = losses.reconstruction(pairs.x[made.again], made.restored).mean()
        values["content_same"] = losses.masked_mean(losses.reconstruction(pairs.x, made.cross), pairs.same)
        values["colour"] = losses.masked_mean(losses.pooled_colour(pairs.x, made.cross), ~pairs.same)
        total = (
            weights.reconstruction * values["reconstruction"]
            + weights.content * values["content_same"]
            + weights.colour * values["colour"]
        )
        if weights.keep > 0:
            values["keep"] = losses.masked_mean(losses.kept(pairs.x, made.cross), ~pairs.same)
            total = total + weights.keep * values["keep"]
        total = total + self._structure_loss(made, values)
        if self.landmarks is not None and weights.landmarks > 0:
            view = random_view(len(pairs.x), rng).to(self.device)
            moved = self._call("landmarks", self.landmarks, under(view, pairs.x), under(view, made.cross))
            values["landmarks"] = losses.masked_mean(moved, ~pairs.same)
            total = total + weights.landmarks * values["landmarks"]
        if weights.identity > 0:
            grey_share = self.settings.schedule.grey_share
            shaken = self.guide.shaken(made.cross[rows], rng, grey_share)
            seen = self._call("guide", self.guide.sight, *shaken)
            values["identity"] = losses.generated_identity(seen, made.asked[rows])
            total = total + weights.identity * values["identity"]
            real = judged & (pairs.theta_rad == 0)  # nobody has a picture of a virtual identity
            for guide in self.more_guides if self.more_guides and real.any() else ():
                with torch.no_grad():
                    wanted = guide(pairs.y_clean[real.to(pairs.y_clean.device)].to(self.device))
                further = losses.generated_identity(guide(made.cross[real], rng, grey_share), wanted)
                values[f"identity_{guide.recognizer.name}"] = further
                total = total + weights.identity * further
            of_x = losses.encoded_identity(made.z_x, pairs.x_embedding)
            values["distil"] = (of_x + losses.encoded_identity(made.z_y, pairs.y_embedding)) / 2
            total = total + weights.identity * weights.distil * values["distil"]
            if weights.distil_swaps > 0:
                # The branch learns to report what R_id sees in a generated face, which need not be what was asked.
                encoded = self._call("branch", self._making.branch, made.cross[rows].detach())
                values["distil_swaps"] = losses.encoded_identity(encoded, seen.detach())
                total = total + weights.distil_swaps * values["distil_swaps"]
            with torch.no_grad():
                far = ~pairs.same[rows] & (pairs.theta_rad[rows] == 0)
                values["cos_own"] = losses.masked_mean(losses.cosine(seen, pairs.x_embedding[rows]), far)
            if weights.smooth > 0 and self.step % weights.smooth_every == 0:
                values["smooth"] = self._smoothness(made, rng)
                total = total + weights.identity * weights.smooth * weights.smooth_every * values["smooth"]
        if self._adversarial:
            values["adversarial"] = losses.fools(self._call("d", self.discriminator, self._shown(made)))
            total = total + weights.adversarial * values["adversarial"]
            if weights.local > 0:
                values["local"] = losses.fools(self._local_logits(made.cross, pairs.x, ~pairs.same, rng))
                total = total + weights.local * values["local"]
        return total

    def _structure_loss(self, made: Step, values: dict[str, Tensor]) -> Tensor:
        """What of x's structure is to stay, and what of it is not to show; fills `values` with the unweighted terms."""
        weights, pairs = self.settings.losses, made.pairs
        total = torch.zeros((), device=self.device)
        if weights.structure > 0:
            changed = losses.structure(pairs.x, made.cross, weights.eyes)
            values["structure"] = losses.masked_mean(changed, ~pairs.same)
            beyond = losses.masked_mean((changed - weights.structure_free).clamp_min(0.0), ~pairs.same)
            total = total + weights.structure * beyond
        if weights.fine_structure > 0:
            shown = losses.fine_structure(pairs.x, made.cross, weights.fine_structure_free)
            # Little was asked to change where the angle is small: it costs what the angle does.
            far = (1.0 - losses.cosine(made.asked, pairs.x_embedding)).clamp_max(1.0)
            values["fine_structure"] = losses.masked_mean(shown * far, ~pairs.same)
            total = total + weights.fine_structure * values["fine_structure"]
        return total

    def _shown(self, made: Step) -> Tensor:
        """The generated crops that D judges: where detail is carried over, nobody ever sees the restored ones."""
        return made.cross if self.settings.network.detail else torch.cat([made.cross, made.restored])

    def _smoothness(self, made: Step, rng: torch.Generator) -> Tensor:
        """Eq. 5 on a quarter of the batch, in float32: ε = 1e-4 does not survive half precision."""
        n = max(1, len(made.content) // 4)
        t = torch.rand(n, generator=rng).to(self.device)
        epsilon = self.settings.losses.smooth_epsilon
        with torch.autocast(self.device.type, enabled=False):
            content, u, v = made.content[-n:].float(), made.as_x[-n:].float(), made.as_y[-n:].float()
            here = self.generator.decode(content, slerp(u, v, t))
            there = self.generator.decode(content, slerp(u, v, t + epsilon))
            return losses.identity_smoothness(self.guide(here), self.guide(there))

    def _local_logits(self, pictures: Tensor, references: Tensor, keep: Tensor, rng: torch.Generator) -> Tensor:
        network = self.settings.network
        patches = random_patches(pictures[keep], network.patches, network.patch_size, rng)
        reference = random_patches(references[keep], network.patches, network.patch_size, rng)
        logits: Tensor = self.local(patches, reference)
        return logits

    def _train_judges(self, made: Step, rng: torch.Generator, values: dict[str, Tensor]) -> None:
        """One update of D and D_local; R1 lazily."""
        weights, real = self.settings.losses, made.pairs.x
        cross, all_rows = made.cross.detach(), torch.ones_like(made.pairs.same)
        with self._autocast():
            fakes = self._call("d_fake", self.discriminator, self._shown(made).detach())
            reals = self._call("d_real", self.discriminator, real)
            values["d"] = total = losses.discriminates(reals, fakes)
            if weights.local > 0:
                local_fake = self._local_logits(cross, real, ~made.pairs.same, rng)
                values["d_local"] = losses.discriminates(self._local_logits(real, real, all_rows, rng), local_fake)
                total = total + values["d_local"]
        if weights.r1 > 0 and self.step % weights.r1_every == 0:
            probe = real.detach().requires_grad_()
            with torch.autocast(self.device.type, enabled=False):
                penalty = losses.r1_penalty(self.discriminator(probe), probe)
            total = total + weights.r1 * weights.r1_every * penalty
        self.judges_optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        average_gradients(self.place, [self.discriminator, self.local])
        self.judges_optimizer.step()

    @torch.no_grad()
    def _update_average(self) -> None:
        pictures = (self.step + 1) * self.settings.schedule.batch
        half_life = min(self.settings.optimizer.ema_pictures, pictures * 0.1)
        keep = 0.5 ** (self.settings.schedule.batch / max(half_life, 1e-8))
        average = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]
        average(list(self.average.parameters()), list(self.generator.parameters()), None)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=fast_bfloat16(self.device))

    def _to_device(self, pairs: Pairs) -> Pairs:
        """All but `y_clean`, which few runs need; a GPU is not waited for."""
        moved: dict[str, Tensor] = {}
        for name in (field.name for field in fields(pairs) if field.name != "y_clean"):
            value: Tensor = getattr(pairs, name)
            if self.device.type == "cuda":
                value = value.pin_memory().to(self.device, non_blocking=True)
            moved[name] = value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
        return replace(pairs, **moved)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: a processor without instructions for it emulates them, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
