"""BibTeX of the papers that parts come from; what a part cites is said where the part is.

Settings classes and measures have ``cites``: keys of :data:`ENTRIES`, or whole BibTeX entries of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from grokscope.errors import unknown

ENTRIES: Mapping[str, str] = {
    "alain2017": """@misc{alain2017understanding,
  title = {Understanding intermediate layers using linear classifier probes},
  author = {Alain, Guillaume and Bengio, Yoshua},
  howpublished = {International Conference on Learning Representations, Workshop},
  year = {2017},
  eprint = {1610.01644},
  archivePrefix = {arXiv}
}""",
    "bartlett2017": """@inproceedings{bartlett2017spectrally,
  title = {Spectrally-normalized margin bounds for neural networks},
  author = {Bartlett, Peter L. and Foster, Dylan J. and Telgarsky, Matus J.},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017},
  eprint = {1706.08498},
  archivePrefix = {arXiv}
}""",
    "chizat2019": """@inproceedings{chizat2019lazy,
  title = {On Lazy Training in Differentiable Programming},
  author = {Chizat, Lenaic and Oyallon, Edouard and Bach, Francis},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019},
  eprint = {1812.07956},
  archivePrefix = {arXiv}
}""",
    "clauset2009": """@article{clauset2009power,
  title = {Power-Law Distributions in Empirical Data},
  author = {Clauset, Aaron and Shalizi, Cosma Rohilla and Newman, M. E. J.},
  journal = {SIAM Review},
  volume = {51},
  number = {4},
  pages = {661--703},
  year = {2009},
  doi = {10.1137/070710111}
}""",
    "cortes2012": """@article{cortes2012algorithms,
  title = {Algorithms for Learning Kernels Based on Centered Alignment},
  author = {Cortes, Corinna and Mohri, Mehryar and Rostamizadeh, Afshin},
  journal = {Journal of Machine Learning Research},
  volume = {13},
  pages = {795--828},
  year = {2012}
}""",
    "demellokoch2025": """@misc{demellokoch2025two,
  title = {A two-phase perspective on deep learning dynamics},
  author = {de Mello Koch, Robert and Ghosh, Animik},
  year = {2025},
  eprint = {2504.12700},
  archivePrefix = {arXiv}
}""",
    "epperly2024": """@article{epperly2024xtrace,
  title = {{XTrace}: Making the Most of Every Sample in Stochastic Trace Estimation},
  author = {Epperly, Ethan N. and Tropp, Joel A. and Webber, Robert J.},
  journal = {SIAM Journal on Matrix Analysis and Applications},
  volume = {45},
  number = {1},
  pages = {1--23},
  year = {2024},
  eprint = {2301.07825},
  archivePrefix = {arXiv}
}""",
    "fan2024": """@misc{fan2024deep,
  title = {Deep Grokking: Would Deep Neural Networks Generalize Better?},
  author = {Fan, Simin and Pascanu, Razvan and Jaggi, Martin},
  year = {2024},
  eprint = {2405.19454},
  archivePrefix = {arXiv}
}""",
    "foret2021": """@inproceedings{foret2021sharpness,
  title = {Sharpness-Aware Minimization for Efficiently Improving Generalization},
  author = {Foret, Pierre and Kleiner, Ariel and Mobahi, Hossein and Neyshabur, Behnam},
  booktitle = {International Conference on Learning Representations},
  year = {2021},
  eprint = {2010.01412},
  archivePrefix = {arXiv}
}""",
    "fort2020": """@inproceedings{fort2020deep,
  title = {Deep learning versus kernel learning: an empirical study of loss landscape geometry and the time evolution
    of the Neural Tangent Kernel},
  author = {Fort, Stanislav and Dziugaite, Gintare Karolina and Paul, Mansheej and Kharaghani, Sepideh and
    Roy, Daniel M. and Ganguli, Surya},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2020},
  eprint = {2010.15110},
  archivePrefix = {arXiv}
}""",
    "ghorbani2019": """@inproceedings{ghorbani2019investigation,
  title = {An Investigation into Neural Net Optimization via {Hessian} Eigenvalue Density},
  author = {Ghorbani, Behrooz and Krishnan, Shankar and Xiao, Ying},
  booktitle = {International Conference on Machine Learning},
  year = {2019},
  eprint = {1901.10159},
  archivePrefix = {arXiv}
}""",
    "golechha2024": """@misc{golechha2024progress,
  title = {Progress Measures for Grokking on Real-world Tasks},
  author = {Golechha, Satvik},
  year = {2024},
  eprint = {2405.12755},
  archivePrefix = {arXiv}
}""",
    "gilmer2017": """@inproceedings{gilmer2017neural,
  title = {Neural Message Passing for Quantum Chemistry},
  author = {Gilmer, Justin and Schoenholz, Samuel S. and Riley, Patrick F. and Vinyals, Oriol and Dahl, George E.},
  booktitle = {International Conference on Machine Learning},
  year = {2017},
  eprint = {1704.01212},
  archivePrefix = {arXiv}
}""",
    "goodfellow2015": """@inproceedings{goodfellow2015explaining,
  title = {Explaining and Harnessing Adversarial Examples},
  author = {Goodfellow, Ian J. and Shlens, Jonathon and Szegedy, Christian},
  booktitle = {International Conference on Learning Representations},
  year = {2015},
  eprint = {1412.6572},
  archivePrefix = {arXiv}
}""",
    "gromov2023": """@misc{gromov2023grokking,
  title = {Grokking modular arithmetic},
  author = {Gromov, Andrey},
  year = {2023},
  eprint = {2301.02679},
  archivePrefix = {arXiv}
}""",
    "gu2025": """@misc{gu2025beyond,
  title = {Beyond Progress Measures: Theoretical Insights into the Mechanism of Grokking},
  author = {Gu, Zihan and Chen, Ruoyu and Zhang, Hua and Hu, Yue and Cao, Xiaochun},
  year = {2025},
  eprint = {2504.03162},
  archivePrefix = {arXiv}
}""",
    "hochreiter1997": """@article{hochreiter1997long,
  title = {Long Short-Term Memory},
  author = {Hochreiter, Sepp and Schmidhuber, J{\\"u}rgen},
  journal = {Neural Computation},
  volume = {9},
  number = {8},
  pages = {1735--1780},
  year = {1997},
  doi = {10.1162/neco.1997.9.8.1735}
}""",
    "hoffman2019": """@misc{hoffman2019robust,
  title = {Robust Learning with {Jacobian} Regularization},
  author = {Hoffman, Judy and Roberts, Daniel A. and Yaida, Sho},
  year = {2019},
  eprint = {1908.02729},
  archivePrefix = {arXiv}
}""",
    "humayun2024": """@inproceedings{humayun2024deep,
  title = {Deep Networks Always Grok and Here is Why},
  author = {Humayun, Ahmed Imtiaz and Balestriero, Randall and Baraniuk, Richard},
  booktitle = {International Conference on Machine Learning},
  year = {2024},
  eprint = {2402.15555},
  archivePrefix = {arXiv}
}""",
    "hurley2009": """@article{hurley2009comparing,
  title = {Comparing Measures of Sparsity},
  author = {Hurley, Niall and Rickard, Scott},
  journal = {IEEE Transactions on Information Theory},
  volume = {55},
  number = {10},
  pages = {4723--4741},
  year = {2009},
  doi = {10.1109/TIT.2009.2027527}
}""",
    "jacot2018": """@inproceedings{jacot2018neural,
  title = {Neural Tangent Kernel: Convergence and Generalization in Neural Networks},
  author = {Jacot, Arthur and Gabriel, Franck and Hongler, Cl{\\'e}ment},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2018},
  eprint = {1806.07572},
  archivePrefix = {arXiv}
}""",
    "johnstone2001": """@article{johnstone2001distribution,
  title = {On the distribution of the largest eigenvalue in principal components analysis},
  author = {Johnstone, Iain M.},
  journal = {The Annals of Statistics},
  volume = {29},
  number = {2},
  pages = {295--327},
  year = {2001},
  doi = {10.1214/aos/1009210544}
}""",
    "kingma2015": """@inproceedings{kingma2015adam,
  title = {Adam: A Method for Stochastic Optimization},
  author = {Kingma, Diederik P. and Ba, Jimmy},
  booktitle = {International Conference on Learning Representations},
  year = {2015},
  eprint = {1412.6980},
  archivePrefix = {arXiv}
}""",
    "kolchinsky2017": """@article{kolchinsky2017estimating,
  title = {Estimating Mixture Entropy with Pairwise Distances},
  author = {Kolchinsky, Artemy and Tracey, Brendan D.},
  journal = {Entropy},
  volume = {19},
  number = {7},
  pages = {361},
  year = {2017},
  doi = {10.3390/e19070361}
}""",
    "kornblith2019": """@inproceedings{kornblith2019similarity,
  title = {Similarity of Neural Network Representations Revisited},
  author = {Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey},
  booktitle = {International Conference on Machine Learning},
  year = {2019},
  eprint = {1905.00414},
  archivePrefix = {arXiv}
}""",
    "kumar2024": """@inproceedings{kumar2024grokking,
  title = {Grokking as the Transition from Lazy to Rich Training Dynamics},
  author = {Kumar, Tanishq and Bordelon, Blake and Gershman, Samuel J. and Pehlevan, Cengiz},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
  eprint = {2310.06110},
  archivePrefix = {arXiv}
}""",
    "lau2024": """@misc{lau2024local,
  title = {The Local Learning Coefficient: A Singularity-Aware Complexity Measure},
  author = {Lau, Edmund and Furman, Zach and Wang, George and Murfet, Daniel and Wei, Susan},
  year = {2024},
  eprint = {2308.12108},
  archivePrefix = {arXiv}
}""",
    "lee2019": """@inproceedings{lee2019wide,
  title = {Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent},
  author = {Lee, Jaehoon and Xiao, Lechao and Schoenholz, Samuel S. and Bahri, Yasaman and Novak, Roman and
    Sohl-Dickstein, Jascha and Pennington, Jeffrey},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019},
  eprint = {1902.06720},
  archivePrefix = {arXiv}
}""",
    "lee2024": """@misc{lee2024grokfast,
  title = {Grokfast: Accelerated Grokking by Amplifying Slow Gradients},
  author = {Lee, Jaerin and Kang, Bong Gyun and Kim, Kihoon and Lee, Kyoung Mu},
  year = {2024},
  eprint = {2405.20233},
  archivePrefix = {arXiv}
}""",
    "liu2023": """@inproceedings{liu2023omnigrok,
  title = {Omnigrok: Grokking Beyond Algorithmic Data},
  author = {Liu, Ziming and Michaud, Eric J. and Tegmark, Max},
  booktitle = {International Conference on Learning Representations},
  year = {2023},
  eprint = {2210.01117},
  archivePrefix = {arXiv}
}""",
    "liu2023compression": """@article{liu2023compression,
  title = {Grokking as Compression: A Nonlinear Complexity Perspective},
  author = {Liu, Ziming and Zhong, Ziqian and Tegmark, Max},
  journal = {arXiv preprint arXiv:2310.05918},
  year = {2023},
  eprint = {2310.05918},
  archivePrefix = {arXiv}
}""",
    "loshchilov2019": """@inproceedings{loshchilov2019decoupled,
  title = {Decoupled Weight Decay Regularization},
  author = {Loshchilov, Ilya and Hutter, Frank},
  booktitle = {International Conference on Learning Representations},
  year = {2019},
  eprint = {1711.05101},
  archivePrefix = {arXiv}
}""",
    "lyu2020": """@inproceedings{lyu2020gradient,
  title = {Gradient Descent Maximizes the Margin of Homogeneous Neural Networks},
  author = {Lyu, Kaifeng and Li, Jian},
  booktitle = {International Conference on Learning Representations},
  year = {2020},
  eprint = {1906.05890},
  archivePrefix = {arXiv}
}""",
    "lyu2024": """@inproceedings{lyu2024dichotomy,
  title = {Dichotomy of Early and Late Phase Implicit Biases Can Provably Induce Grokking},
  author = {Lyu, Kaifeng and Jin, Jikai and Li, Zhiyuan and Du, Simon S. and Lee, Jason D. and Hu, Wei},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
  eprint = {2311.18817},
  archivePrefix = {arXiv}
}""",
    "madry2018": """@inproceedings{madry2018towards,
  title = {Towards Deep Learning Models Resistant to Adversarial Attacks},
  author = {M{\\k{a}}dry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris and
    Vladu, Adrian},
  booktitle = {International Conference on Learning Representations},
  year = {2018},
  eprint = {1706.06083},
  archivePrefix = {arXiv}
}""",
    "mallinar2024": """@misc{mallinar2024emergence,
  title = {Emergence in non-neural models: grokking modular arithmetic via average gradient outer product},
  author = {Mallinar, Neil and Beaglehole, Daniel and Zhu, Libin and Radhakrishnan, Adityanarayanan and
    Pandit, Parthe and Belkin, Mikhail},
  year = {2024},
  eprint = {2407.20199},
  archivePrefix = {arXiv}
}""",
    "marchenko1967": """@article{marchenko1967distribution,
  title = {Distribution of eigenvalues for some sets of random matrices},
  author = {Mar{\\v{c}}enko, V. A. and Pastur, L. A.},
  journal = {Mathematics of the USSR-Sbornik},
  volume = {1},
  number = {4},
  pages = {457--483},
  year = {1967}
}""",
    "martin2021implicit": """@article{martin2021implicit,
  title = {Implicit Self-Regularization in Deep Neural Networks: Evidence from Random Matrix Theory and Implications
    for Learning},
  author = {Martin, Charles H. and Mahoney, Michael W.},
  journal = {Journal of Machine Learning Research},
  volume = {22},
  number = {165},
  pages = {1--73},
  year = {2021}
}""",
    "martin2021predicting": """@article{martin2021predicting,
  title = {Predicting trends in the quality of state-of-the-art neural networks without access to training or testing
    data},
  author = {Martin, Charles H. and Peng, Tongsu and Mahoney, Michael W.},
  journal = {Nature Communications},
  volume = {12},
  pages = {4122},
  year = {2021},
  doi = {10.1038/s41467-021-24025-8}
}""",
    "masarczyk2023": """@inproceedings{masarczyk2023tunnel,
  title = {The Tunnel Effect: Building Data Representations in Deep Neural Networks},
  author = {Masarczyk, Wojciech and Ostaszewski, Mateusz and Imani, Ehsan and Pascanu, Razvan and
    Mi{\\l}o\\'s, Piotr and Trzci\\'nski, Tomasz},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023},
  eprint = {2305.19753},
  archivePrefix = {arXiv}
}""",
    "minegishi2023": """@misc{minegishi2023grokking,
  title = {Grokking Tickets: Lottery Tickets Accelerate Grokking},
  author = {Minegishi, Gouki and Iwasawa, Yusuke and Matsuo, Yutaka},
  year = {2023},
  eprint = {2310.19470},
  archivePrefix = {arXiv}
}""",
    "nanda2023": """@inproceedings{nanda2023progress,
  title = {Progress measures for grokking via mechanistic interpretability},
  author = {Nanda, Neel and Chan, Lawrence and Lieberum, Tom and Smith, Jess and Steinhardt, Jacob},
  booktitle = {International Conference on Learning Representations},
  year = {2023},
  eprint = {2301.05217},
  archivePrefix = {arXiv}
}""",
    "novak2018": """@inproceedings{novak2018sensitivity,
  title = {Sensitivity and Generalization in Neural Networks: an Empirical Study},
  author = {Novak, Roman and Bahri, Yasaman and Abolafia, Daniel A. and Pennington, Jeffrey and
    Sohl-Dickstein, Jascha},
  booktitle = {International Conference on Learning Representations},
  year = {2018},
  eprint = {1802.08760},
  archivePrefix = {arXiv}
}""",
    "papyan2020": """@article{papyan2020prevalence,
  title = {Prevalence of neural collapse during the terminal phase of deep learning training},
  author = {Papyan, Vardan and Han, X. Y. and Donoho, David L.},
  journal = {Proceedings of the National Academy of Sciences},
  volume = {117},
  number = {40},
  pages = {24652--24663},
  year = {2020},
  doi = {10.1073/pnas.2015509117}
}""",
    "pascanu2013": """@inproceedings{pascanu2013difficulty,
  title = {On the Difficulty of Training Recurrent Neural Networks},
  author = {Pascanu, Razvan and Mikolov, Tomas and Bengio, Yoshua},
  booktitle = {International Conference on Machine Learning},
  pages = {1310--1318},
  year = {2013}
}""",
    "power2022": """@misc{power2022grokking,
  title = {Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets},
  author = {Power, Alethea and Burda, Yuri and Edwards, Harri and Babuschkin, Igor and Misra, Vedant},
  year = {2022},
  eprint = {2201.02177},
  archivePrefix = {arXiv}
}""",
    "prakash2025": """@misc{prakash2025grokking,
  title = {Grokking and Generalization Collapse: Insights from HTSR theory},
  author = {Prakash, Hari K. and Martin, Charles H.},
  year = {2025},
  eprint = {2506.04434},
  archivePrefix = {arXiv}
}""",
    "prakash2026": """@misc{prakash2026detecting,
  title = {Detecting Overfitting in Neural Networks During Long-Horizon Grokking Using Random Matrix Theory},
  author = {Prakash, Hari K. and Martin, Charles H.},
  year = {2026},
  eprint = {2605.12394},
  archivePrefix = {arXiv}
}""",
    "radhakrishnan2024": """@article{radhakrishnan2024mechanism,
  title = {Mechanism for feature learning in neural networks and backpropagation-free machine learning models},
  author = {Radhakrishnan, Adityanarayanan and Beaglehole, Daniel and Pandit, Parthe and Belkin, Mikhail},
  journal = {Science},
  volume = {383},
  number = {6690},
  pages = {1461--1467},
  year = {2024},
  eprint = {2212.13881},
  archivePrefix = {arXiv}
}""",
    "ramakrishnan2014": """@article{ramakrishnan2014quantum,
  title = {Quantum chemistry structures and properties of 134 kilo molecules},
  author = {Ramakrishnan, Raghunathan and Dral, Pavlo O. and Rupp, Matthias and von Lilienfeld, O. Anatole},
  journal = {Scientific Data},
  volume = {1},
  pages = {140022},
  year = {2014},
  doi = {10.1038/sdata.2014.22}
}""",
    "roberts1996": """@article{roberts1996exponential,
  title = {Exponential Convergence of {Langevin} Distributions and Their Discrete Approximations},
  author = {Roberts, Gareth O. and Tweedie, Richard L.},
  journal = {Bernoulli},
  volume = {2},
  number = {4},
  pages = {341--363},
  year = {1996}
}""",
    "roy2007": """@inproceedings{roy2007effective,
  title = {The effective rank: A measure of effective dimensionality},
  author = {Roy, Olivier and Vetterli, Martin},
  booktitle = {European Signal Processing Conference},
  pages = {606--610},
  year = {2007}
}""",
    "saxe2018": """@inproceedings{saxe2018information,
  title = {On the Information Bottleneck Theory of Deep Learning},
  author = {Saxe, Andrew M. and Bansal, Yamini and Dapello, Joel and Advani, Madhu and Kolchinsky, Artemy and
    Tracey, Brendan D. and Cox, David D.},
  booktitle = {International Conference on Learning Representations},
  year = {2018}
}""",
    "singh2024": """@inproceedings{singh2024what,
  title = {What needs to go right for an induction head? A mechanistic study of in-context learning circuits and
    their formation},
  author = {Singh, Aaditya K. and Moskovitz, Ted and Hill, Felix and Chan, Stephanie C. Y. and Saxe, Andrew M.},
  booktitle = {International Conference on Machine Learning},
  year = {2024},
  eprint = {2404.07129},
  archivePrefix = {arXiv}
}""",
    "song2012": """@article{song2012feature,
  title = {Feature Selection via Dependence Maximization},
  author = {Song, Le and Smola, Alex and Gretton, Arthur and Bedo, Justin and Borgwardt, Karsten},
  journal = {Journal of Machine Learning Research},
  volume = {13},
  pages = {1393--1434},
  year = {2012}
}""",
    "srivastava2014": """@article{srivastava2014dropout,
  title = {Dropout: A Simple Way to Prevent Neural Networks from Overfitting},
  author = {Srivastava, Nitish and Hinton, Geoffrey and Krizhevsky, Alex and Sutskever, Ilya and
    Salakhutdinov, Ruslan},
  journal = {Journal of Machine Learning Research},
  volume = {15},
  number = {56},
  pages = {1929--1958},
  year = {2014}
}""",
    "truong2020": """@article{truong2020selective,
  title = {Selective review of offline change point detection methods},
  author = {Truong, Charles and Oudre, Laurent and Vayatis, Nicolas},
  journal = {Signal Processing},
  volume = {167},
  pages = {107299},
  year = {2020},
  doi = {10.1016/j.sigpro.2019.107299}
}""",
    "vaswani2017": """@inproceedings{vaswani2017attention,
  title = {Attention Is All You Need},
  author = {Vaswani, Ashish and Shazeer, Noam and Parmar, Niki and Uszkoreit, Jakob and Jones, Llion and
    Gomez, Aidan N. and Kaiser, {\\L}ukasz and Polosukhin, Illia},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017},
  eprint = {1706.03762},
  archivePrefix = {arXiv}
}""",
    "wang2020": """@inproceedings{wang2020understanding,
  title = {Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere},
  author = {Wang, Tongzhou and Isola, Phillip},
  booktitle = {International Conference on Machine Learning},
  year = {2020},
  eprint = {2005.10242},
  archivePrefix = {arXiv}
}""",
    "watanabe2013": """@article{watanabe2013widely,
  title = {A Widely Applicable {Bayesian} Information Criterion},
  author = {Watanabe, Sumio},
  journal = {Journal of Machine Learning Research},
  volume = {14},
  pages = {867--897},
  year = {2013}
}""",
    "woodworth2020": """@inproceedings{woodworth2020kernel,
  title = {Kernel and Rich Regimes in Overparametrized Models},
  author = {Woodworth, Blake and Gunasekar, Suriya and Lee, Jason D. and Moroshko, Edward and Savarese, Pedro and
    Golan, Itay and Soudry, Daniel and Srebro, Nathan},
  booktitle = {Conference on Learning Theory},
  year = {2020},
  eprint = {2002.09277},
  archivePrefix = {arXiv}
}""",
}
"""Author and year -> one BibTeX entry."""

METHODS: Mapping[str, tuple[str, ...]] = {"change points": ("truong2020",)}
"""Analyses that every run with a transition rule may be shown with, and what they cite."""


MEASURES: Mapping[str, tuple[str, ...]] = {
    "ablation": ("nanda2023",),
    "agop": ("radhakrishnan2024", "mallinar2024"),
    "circles": ("nanda2023",),
    "circuit": ("nanda2023",),
    "circuit_complexity": ("golechha2024",),
    "cka": ("kornblith2019", "song2012"),
    "correlation_traps": ("prakash2025", "johnstone2001"),
    "curvature": ("ghorbani2019", "epperly2024", "foret2021"),
    "feature_rank": ("fan2024", "masarczyk2023", "roy2007"),
    "fourier": ("nanda2023",),
    "gini": ("nanda2023", "hurley2009"),
    "gradient": (),
    "htsr": ("martin2021predicting", "clauset2009"),
    "information": ("demellokoch2025", "kolchinsky2017", "saxe2018"),
    "input_jacobian": ("novak2018", "hoffman2019"),
    "lazy_prediction": ("kumar2024", "lee2019", "jacot2018"),
    "learning_coefficient": ("lau2024", "watanabe2013", "roberts1996"),
    "linear_mapping_number": ("liu2023compression",),
    "linear_probe": ("alain2017", "fan2024"),
    "local_complexity": ("humayun2024",),
    "maps": ("nanda2023",),
    "marchenko_pastur": ("marchenko1967", "martin2021implicit", "johnstone2001"),
    "margin": ("lyu2020", "bartlett2017"),
    "max_margin": ("lyu2024",),
    "neural_collapse": ("papyan2020",),
    "dead_weights": ("golechha2024",),
    "norms": ("liu2023", "golechha2024"),
    "ntk": ("jacot2018", "kumar2024", "cortes2012", "fort2020"),
    "participation": ("gromov2023",),
    "performance": ("power2022",),
    "relative_loss": ("kumar2024",),
    "quadratic_kernel": ("kumar2024", "jacot2018", "cortes2012"),
    "robustness": ("goodfellow2015", "madry2018", "humayun2024"),
    "sparsity": ("golechha2024",),
    "spectra": ("roy2007", "martin2021predicting"),
    "stationarity": ("lyu2024", "lyu2020"),
    "sufficient_statistics": ("kumar2024",),
    "threshold_accuracy": ("kumar2024",),
    "uniformity": ("gu2025", "wang2020"),
    "units": ("golechha2024",),
    "weight_entropy": ("golechha2024",),
    "weights": ("nanda2023",),
    "completion": ("lyu2024",),
    "trap_removal": ("prakash2026", "prakash2025"),
    "transition_forecast": ("lyu2024",),
    "early_predictor": ("lyu2024", "jacot2018"),
}
"""The ``cites`` of our own measures once more, so that a report can be written without loading torch.

A test holds them to what the measures say; one that is not here is loaded and asked.
"""


def entry(cite: str) -> str:
    """Return the BibTeX entry that a part's ``cites`` means: a key of :data:`ENTRIES`, or an entry itself.

    Raises:
        UsageError: it is neither.

    Example:
        >>> entry("hurley2009").splitlines()[0]
        '@article{hurley2009comparing,'
    """
    if cite.lstrip().startswith("@"):
        return cite.strip()
    if cite not in ENTRIES:
        raise unknown("citation", cite, ENTRIES)
    return ENTRIES[cite]


def label(bibtex: str) -> str:
    r"""Return the label of a BibTeX entry, by which ``\cite`` knows it; empty if it has none.

    Example:
        >>> label("@misc{power2022grokking, year = 2022}")
        'power2022grokking'
    """
    found = re.match(r"\s*@\w+\s*\{\s*([^\s,}]+)", bibtex)
    return found[1] if found else ""


def distinct(entries: Iterable[str]) -> list[str]:
    """Return BibTeX entries in their order, each label once."""
    kept: dict[str, str] = {}
    for bibtex in entries:
        kept.setdefault(label(bibtex) or bibtex, bibtex)
    return list(kept.values())
