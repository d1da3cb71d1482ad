"""Nanda, Chan, Lieberum, Smith & Steinhardt 2023: progress measures for grokking on modular addition."""

from grokscope.citations import ENTRIES
from grokscope.paper import Figure, Paper
from grokscope.papers.nanda2023.claims import CLAIMS
from grokscope.papers.nanda2023.experiments import EXPERIMENTS

EVERY = tuple(experiment.name for experiment in EXPERIMENTS)

PAPER = Paper(
    id="nanda2023",
    title="Progress measures for grokking via mechanistic interpretability",
    bibtex=ENTRIES["nanda2023"],
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=(
        Figure(
            "accuracy",
            "Accuracy",
            EVERY,
            "grokscope.papers.nanda2023.figures:accuracy",
            ("train/accuracy", "test/accuracy", "leak_free/accuracy", "fourier/restricted_accuracy"),
            "Accuracy on trained and held-out pairs. About as many held-out pairs as the train fraction have their "
            "mirror image (b, a) among the trained ones; a network that has only learned that addition commutes "
            "answers those, so the dashed curve leaves them out. Dotted, at the paper's scale: the "
            "authors' run, read from their figures (error up to 10 %).",
        ),
        Figure(
            "loss",
            "Loss",
            EVERY,
            "grokscope.papers.nanda2023.figures:loss",
            ("train/loss", "test/loss"),
            "Cross-entropy over all outputs, log-softmax in float64.",
        ),
        Figure(
            "progress",
            "Restricted and excluded loss",
            EVERY,
            "grokscope.papers.nanda2023.figures:progress",
            ("fourier/restricted_loss", "fourier/excluded_loss", "test/loss", "train/loss"),
            "Hidden progress: keeping only the key frequencies of the final network (restricted), or removing only "
            "them (excluded). In a run that generalises both move long before the test loss falls. Dotted, at the "
            "paper's scale: the authors' run, read from their figures (error up to 10 %).",
        ),
        Figure(
            "spectrum",
            "Fourier spectrum over training",
            EVERY,
            "grokscope.papers.nanda2023.figures:fourier_spectrum",
            ("fourier/key_frequencies",),
            "Norm of each frequency of the neuron-to-logit map, over neurons; the key frequencies are those "
            "above a quarter of the largest at the end.",
        ),
        Figure(
            "excluded-by-frequency",
            "Excluded loss of each frequency",
            EVERY,
            "grokscope.papers.nanda2023.figures:excluded_by_frequency",
            caption="Cross-entropy on the train pairs with one frequency removed from the logits at a time. A "
            "frequency matters where this is above the train loss.",
            arrays=("fourier.hindsight",),
        ),
        Figure(
            "circles",
            "Embedding on its key frequencies",
            EVERY,
            "grokscope.papers.nanda2023.circuit:embedding_circles",
            caption="The token embedding of each residue along the cosine and the sine of each key frequency of the "
            "final network, coloured by residue and joined in the order of the circle, neighbours being k⁻¹ mod p "
            "apart. All panels and moments have one scale.",
            arrays=("circles.hindsight",),
        ),
        Figure(
            "logit-planes",
            "Logits in 2-D Fourier space",
            EVERY,
            "grokscope.papers.nanda2023.circuit:logit_planes",
            caption="Norm, over the outputs, of each coefficient of the logits in the product of the Fourier bases of "
            "a and of b: the constant first, then cosine and sine of each frequency, with ticks at the key "
            "frequencies. The constant of both, a bias, is left out. A network that computes cos w(a+b) and "
            "sin w(a+b) has blocks on the diagonal only.",
            arrays=("maps",),
        ),
        Figure(
            "attention",
            "Attention",
            EVERY,
            "grokscope.papers.nanda2023.circuit:attention",
            caption="Attention weight from the last position to the first number, for each head and every pair.",
            arrays=("maps",),
        ),
        Figure(
            "neurons",
            "Neurons as functions of a and b",
            EVERY,
            "grokscope.papers.nanda2023.circuit:neurons",
            caption="Activations at the last position for every pair. At each moment these are the neurons that "
            "vary most among those with the same best frequency k, so the slider shows other neurons as it moves; "
            "each moment has a scale of colours of its own.",
            arrays=("maps",),
        ),
        Figure(
            "neurons-by-frequency",
            "Neurons by frequency",
            EVERY,
            "grokscope.papers.nanda2023.circuit:neurons_by_frequency",
            caption="First: the share of each neuron's variance over all pairs that its best frequency explains, with "
            "the paper's level of 0.85. Second: how many neurons each frequency has. Colours are key frequencies.",
            arrays=("circuit",),
        ),
        Figure(
            "rank",
            "Singular values of the neuron-to-logit map",
            EVERY,
            "grokscope.papers.nanda2023.circuit:rank",
            caption="Each key frequency needs two: a cosine and a sine.",
            arrays=("circuit",),
        ),
        Figure(
            "weights",
            "Weights",
            EVERY,
            "grokscope.papers.nanda2023.figures:weights",
            ("weights/sum_of_squares", "gini/embedding", "gini/neuron_to_logit"),
            "In cleanup the sum of squares falls sharply and the Fourier spectra become sparse.",
        ),
        Figure(
            "weights-by-tensor",
            "Weights by tensor",
            EVERY,
            "grokscope.papers.nanda2023.figures:weights_by_tensor",
            ("weights/sum_of_squares",),
            "Sum of squares of each parameter tensor, the largest at the end first. Biases start at 0; the axis begins "
            "four and a half decades below the largest sum.",
        ),
    ),
)
