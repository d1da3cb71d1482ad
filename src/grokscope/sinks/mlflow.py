"""A monitor's numbers in MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from grokscope.sinks.base import library, run_name, told, tracker_key

BATCH = 1000
"""Metrics that MLflow takes at once."""


class MLflowSink:
    """Writes a run of MLflow's beside the active one, or into one that is given; what happened into its tags.

    Infinite values are left out: MLflow would show the largest finite number. NaN is kept.

    Args:
        experiment: name of the experiment; made if it is not there.
        tracking_uri: where to (``sqlite:///mlflow.db``); None is MLFLOW_TRACKING_URI, else MLflow's default, a local
            database.
        run_id: a run to write into; it is not ended.

    Raises:
        UsageError: MLflow is not installed.
    """

    def __init__(
        self, experiment: str = "grokscope", *, tracking_uri: str | None = None, run_id: str | None = None
    ) -> None:
        self._mlflow = library("mlflow", "mlflow")
        self._experiment = experiment
        self._uri = tracking_uri
        self._own = run_id is None
        self._run = run_id
        self._client: Any = None

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin a run, with the spec as an artifact."""
        self._client = client = self._mlflow.MlflowClient(self._uri)
        if self._own:
            found = client.get_experiment_by_name(self._experiment)
            experiment = client.create_experiment(self._experiment) if found is None else found.experiment_id
            self._run = client.create_run(experiment, run_name=run_name(run)).info.run_id
        client.log_dict(self._run, dict(run["spec"]), "grokscope/spec.json")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers of a step."""
        now, metric = int(time.time() * 1000), self._mlflow.entities.Metric
        metrics = [metric(tracker_key(k), float(v), now, step) for k, v in values.items() if not math.isinf(v)]
        for first in range(0, len(metrics), BATCH):
            self._client.log_batch(self._run, metrics=metrics[first : first + BATCH])

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Keep the last of each kind as a tag."""
        self._client.set_tag(self._run, *told(kind, fields))

    def close(self) -> None:
        """End the run if it is ours."""
        if self._own:
            self._client.set_terminated(self._run)
