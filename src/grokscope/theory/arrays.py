"""What the solvers are given, as checked float64 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grokscope.errors import UsageError

Array = NDArray[np.float64]


def real(name: str, values: Any, *, axes: int) -> Array:
    """Return numbers as a float64 array with so many axes; a tensor is detached and brought to the processor.

    Raises UsageError for another number of axes, no numbers, or numbers that are not finite.

    Example:
        >>> real("x", [[1, 2]], axes=2)
        array([[1., 2.]])
    """
    given = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be read as an array of real numbers ({error}).") from error
    if array.ndim != axes:
        raise UsageError(f"{name} has the shape {array.shape}: it needs {axes} {'axis' if axes == 1 else 'axes'}.")
    if not array.size:
        raise UsageError(f"{name} has the shape {array.shape}: it is empty, and there is nothing to solve.")
    if not np.isfinite(array).all():
        count = int(array.size - np.isfinite(array).sum())
        raise UsageError(f"{name} has {count} entries that are NaN or infinite: all must be finite.")
    return array


def signs(y: Any, *, count: int) -> Array:
    """Return labels −1 and 1 as floats, one for each of ``count`` examples.

    Raises UsageError for other labels or another number of them.

    Example:
        >>> signs([1, -1], count=2)
        array([ 1., -1.])
    """
    array = real("y", y, axes=1)
    if len(array) != count:
        raise UsageError(f"y has {len(array)} labels for {count} examples: give one label an example.")
    if not np.isin(array, (-1.0, 1.0)).all():
        other = array[~np.isin(array, (-1.0, 1.0))][0]
        raise UsageError(f"y has the label {other:g}: labels of two classes are -1 and 1.")
    return array


def class_constraints(labels: Any, *, count: int, classes: int | None = None) -> NDArray[np.bool_]:
    """Return which class is a wrong one of which example, (count, classes); up to the last label if None.

    Raises UsageError for labels that are not whole numbers of 0 to classes − 1, or for fewer than two classes with
    examples.

    Example:
        >>> class_constraints([0, 1], count=2, classes=3).tolist()
        [[False, True, True], [True, False, True]]
    """
    array = real("labels", labels, axes=1)
    if len(array) != count:
        raise UsageError(f"{len(array)} labels were given for {count} examples: give one label an example.")
    size = int(array.max()) + 1 if classes is None else classes
    outside = array[(array < 0) | (array >= size) | (array != np.floor(array))]
    if len(outside):
        raise UsageError(f"labels has {outside[0]:g}: labels are whole numbers of 0 to {size - 1}.")
    if len(np.unique(array)) < 2:
        raise UsageError(f"all labels are {array[0]:g}: with one class there is nothing to tell apart.")
    return np.arange(size) != array[:, None]


def kernel(name: str, gram: Any) -> Array:
    """Return a symmetric positive semi-definite matrix, as a kernel gives for a set of examples.

    Raises UsageError for a matrix that is not square, not symmetric, or has an eigenvalue below −1e-6 of the largest
    (float32 rounding passes, an indefinite kernel does not).

    Example:
        >>> kernel("gram", [[2, 1], [1, 2]]).trace()
        np.float64(4.0)
    """
    array = real(name, gram, axes=2)
    if array.shape[0] != array.shape[1]:
        raise UsageError(f"{name} has the shape {array.shape}: a kernel matrix is square, examples by examples.")
    scale = np.abs(array).max()
    if np.abs(array - array.T).max() > 1e-5 * scale:
        raise UsageError(f"{name} is not symmetric (entries differ by {np.abs(array - array.T).max():g}).")
    symmetric = (array + array.T) / 2
    values = np.linalg.eigvalsh(symmetric)
    if values[0] < -1e-6 * max(values[-1], -values[0]):
        raise UsageError(
            f"{name} has the eigenvalues {values[0]:.3g} to {values[-1]:.3g}: a kernel matrix has none below 0."
        )
    return symmetric
