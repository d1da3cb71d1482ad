"""Take Fourier frequencies of the residues out of a network that adds modulo p (after Nanda et al. 2023, Sec. 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from grokscope.errors import UsageError
from grokscope.interventions.chosen import chosen
from grokscope.settings import InterventionSettings, Point, TaskSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class FourierAblation(InterventionSettings):
    """After an update M ← M - Σ_k (c_k c_kᵀ + s_k s_kᵀ) M, for each chosen tensor M and frequency k.

    c_k and s_k are the unit cosine and sine of frequency k over the p residues, which ``axis`` of M counts; an
    entry beyond them (the token "=") is left alone. Without ``stop`` it acts once, on the update ``start``, so
    that the parameters of step ``start`` + 1 are the first without the frequencies; with ``stop`` they are kept
    out by every update from ``start`` to before ``stop``. The default tensors are W_E and W_U: with the latter
    the neuron-to-logit map W_U W_out loses the frequencies too. The optimizer's moments are left alone.

    ``effect`` is accumulated over the updates acted on: Σ‖removed‖² / Σ‖M‖² over the residues' entries of the
    chosen tensors. It is the share removed where it acts once.

    Example:
        >>> FourierAblation(frequencies=(2,), modulus=5, start=100).active(101)
        False
    """

    name: Literal["fourier-ablation"] = "fourier-ablation"
    cites: ClassVar[tuple[str, ...]] = ("nanda2023",)
    point: ClassVar[Point] = "parameters"
    frequencies: tuple[int, ...] = Field(min_length=1, description="k, of cos(2πka/p); from 1 to ⌊p/2⌋")
    parameters: str = Field(default="W_[EU]", description="which parameters, a shell pattern of their names")
    axis: int = Field(default=0, ge=0, description="the axis of the tensors that counts residues")
    modulus: int | None = Field(default=None, ge=2, description="p; that of the task if absent")

    @field_validator("frequencies", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _frequencies_of_the_modulus(self) -> FourierAblation:
        if len(set(self.frequencies)) < len(self.frequencies):
            raise ValueError(f"fourier-ablation names a frequency twice in {list(self.frequencies)}: give each once")
        for frequency in self.frequencies:
            if frequency < 1 or (self.modulus is not None and frequency > self.modulus // 2):
                most = "⌊p/2⌋" if self.modulus is None else self.modulus // 2
                raise ValueError(f"fourier-ablation cannot take out frequency {frequency}: give ones from 1 to {most}")
        return self

    def from_task(self, task: TaskSettings) -> dict[str, Any]:
        """Return the modulus of the task where none was given.

        Raises:
            UsageError: the task has none either.
        """
        if self.modulus is not None:
            return {}
        modulus = getattr(task, "modulus", None)
        if modulus is None:
            raise UsageError(f"fourier-ablation needs a modulus, which the task {task.name} has not: give modulus=p.")
        return {"modulus": modulus}

    def active(self, step: int) -> bool:
        """Tell whether update ``step`` (from 0) is acted on: ``start`` alone, or all before ``stop``."""
        return step == self.start if self.stop is None else super().active(step)

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return no effect.

        Raises:
            UsageError: there is no such tensor, or its axis does not count the residues.
        """
        import torch

        names = self._checked(parameters)
        some = parameters[names[0]]
        return {"effect": torch.zeros((), dtype=some.dtype, device=some.device)}

    def apply(
        self, value: dict[str, Tensor], state: dict[str, Tensor], *, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the parameters without the frequencies; float64 inside, the tensors keep their dtype."""
        import torch

        p = self._modulus()
        changed, removed, present = dict(value), [], []
        for name in self._checked(value):
            tensor = value[name]
            waves = self._waves(tensor.device)
            residues = tensor.narrow(self.axis, 0, p).double().movedim(self.axis, 0)
            coefficients = torch.tensordot(waves, residues, 1)
            left = residues - torch.tensordot(waves.T, coefficients, 1)
            kept = left.movedim(0, self.axis).to(tensor.dtype)
            others = tensor.narrow(self.axis, p, tensor.shape[self.axis] - p)
            changed[name] = torch.cat([kept, others], self.axis)
            removed.append(coefficients.square().sum())
            present.append(residues.square().sum())
        total = torch.stack(present).sum()
        share = torch.stack(removed).sum() / total.clamp(min=torch.finfo(total.dtype).tiny)
        return changed, {"effect": state["effect"] + share.to(state["effect"].dtype)}

    def _waves(self, device: torch.device) -> Tensor:
        """Return the unit cosines and sines to project off, (waves, p)."""
        from grokscope.linalg.fourier import fourier_basis

        p = self._modulus()
        # of frequency p/2 there is a cosine only
        rows = [row for k in sorted(self.frequencies) for row in (2 * k - 1, 2 * k) if row < p]
        return fourier_basis(p, device=device)[rows]

    def _modulus(self) -> int:
        if self.modulus is None:
            raise UsageError(
                "fourier-ablation has no modulus: give modulus=p, or make the spec with grokscope.resolve."
            )
        return self.modulus

    def _checked(self, parameters: dict[str, Tensor]) -> list[str]:
        p = self._modulus()
        names = chosen(parameters, self.parameters, self.name)
        for name in names:
            shape = tuple(parameters[name].shape)
            if self.axis >= len(shape) or shape[self.axis] not in (p, p + 1):
                raise UsageError(
                    f"fourier-ablation: axis {self.axis} of {name}, of shape {shape}, does not count the {p} residues: "
                    f"choose tensors with {p} or {p + 1} entries along it by parameters and axis."
                )
        return names
