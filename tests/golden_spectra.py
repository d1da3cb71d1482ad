"""Nine matrices, and what WeightWatcher 0.7.5.5 says of them (NumPy 2.4.6, SciPy 1.17.1, torch 2.13, CPU)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def _matrices() -> dict[str, NDArray[np.float64]]:
    def generator(seed: int) -> np.random.Generator:
        return np.random.default_rng(seed)

    found: dict[str, NDArray[np.float64]] = {
        "G1": generator(0).standard_normal((200, 784)),
        "G2": generator(1).standard_normal((200, 200)),
        "G3": generator(2).uniform(-1 / 8, 1 / 8, (64, 64)),
    }
    for name, seed, exponent in (("P1", 3, 2.5), ("P2", 4, 1.5)):
        r = generator(seed)
        found[name] = r.pareto(exponent, (300, 150)) * r.choice([-1.0, 1.0], (300, 150))
    r = generator(5)
    noise, u, v = r.standard_normal((300, 150)), r.standard_normal(300), r.standard_normal(150)
    found["S1"] = noise + 3 * np.sqrt(300) * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    found["B1"] = generator(6).standard_normal((300, 150))
    found["B1"][17, 23] = 60
    found["D1"] = np.diag((np.arange(1, 101) / 101) ** -0.25)
    found["T1"] = generator(7).standard_t(3, (128, 512)).astype(np.float32)
    return found


@dataclass(frozen=True)
class Golden:
    """The tail and the bulk of a matrix, the bulk of its shuffle, and both compared."""

    sum_of_squares: float
    tail: tuple[float, float, float, float, int, float]  # alpha, D, xmin, sigma, num_pl_spikes, largest
    bulk: tuple[float, int, float, float]  # sigma_mp, num_spikes, mp_softrank, bulk_max
    shuffled: tuple[float, int, float, float]
    compared: tuple[float, float, float]  # max_rand_eval, rand_distance, ww_softrank
    determinant: tuple[int, float]


MATRICES = _matrices()
GOLDEN = {
    "G1": Golden(
        157243.7183747668,
        (6.76963272, 0.13593379, 1171.15976068, 0.90106525, 41, 1752.99001258),
        (1.00516182, 0, 1.02648559, 1799.41898),
        (1.00401998, 0, 1.01037835, 1795.33311),
        (1776.8919012, 0.00358324, 1.01412904),
        (174, 341.2079809),
    ),
    "G2": Golden(
        39509.9683520263,
        (7.26941820, 0.11614034, 531.12252973, 1.43830318, 19, 786.64041538),
        (1.0079198, 0, 1.02049852, 802.76538),
        (1.00776036, 0, 1.03330005, 802.51142),
        (776.64897195, 0.00635966, 0.96866532),
        (147, 34.61451922),
    ),
    "G3": Golden(
        21.6235794375,
        (3.04877333, 0.15338235, 0.40692370, 0.41820410, 24, 1.16544914),
        (1.00693635, 0, 1.17575901, 1.37028733),
        (1.00845744, 0, 1.04711651, 1.37443039),
        (1.31258592, 0.02246382, 1.10452601),
        (48, 0.0605279),
    ),
    "P1": Golden(
        95638.0236666308,
        (3.33870648, 0.06623781, 1185.12735841, 0.48765401, 23, 5120.22633978),
        (0.87843772, 11, 0.28002287, 1433.78049),
        (0.88015672, 12, 0.32198753, 1439.39746),
        (4470.35153208, 0.01846515, 0.87440969),
        (107, 199.7031109),
    ),
    "P2": Golden(
        44261256.2733869,
        (1.64851882, 0.03461098, 4955.23404943, 0.06874286, 89, 36238288.47305),
        (0.32458385, 11, 0.0025, 90595.72118),
        (0.32456197, 9, 0.0025, 90583.50456),
        (36233401.82515, 0.01116047, 1.00043914),
        (18, 66806.183293),
    ),
    "S1": Golden(
        47873.6441781621,
        (4.85984955, 0.08980239, 551.88319671, 0.77196991, 25, 3235.37098459),
        (0.98241374, 1, 0.27745425, 897.66742),
        (0.99857224, 0, 1.02988603, 927.43948),
        (900.52632451, 0.08872685, 0.27147664),
        (118, 106.3214961),
    ),
    "B1": Golden(
        48881.4242969196,
        (4.14771730, 0.09314948, 472.08202801, 0.53206133, 35, 4020.0706453),
        (0.9833338, 1, 0.22842425, 918.28164),
        (0.95506027, 1, 0.20953864, 866.23459),
        (4134.0088869, 0.00597551, 1.00086548),
        (117, 108.06999815),
    ),
    "D1": Golden(
        186.8232062850,
        (3.06659266, 0.01204842, 1.00498748, 0.20665927, 100, 10.04987547),
        (0.72909467, 5, 0.39527376, 3.97245206),
        (1.07381973, 4, 0.50208365, 8.61694996),
        (17.1623791, 0.3433677, 1.27524346),
        (76, 1.15279984),
    ),
    "T1": Golden(
        189697.8502812795,
        (6.64731276, 0.06210839, 2511.7697805, 1.33108438, 18, 5741.15813919),
        (0.97070383, 3, 0.54727919, 3142.01636),
        (0.98238197, 2, 0.58931561, 3218.07177),
        (5460.69324508, 0.00794903, 0.96115652),
        (109, 635.18396949),
    ),
}
