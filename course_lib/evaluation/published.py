"""Large models and their forerunners as their papers describe them: parameters, data, compute, each with its citation.

A number that no paper gives is None, with the reason; none is guessed. Where the shape of a model is public its
parameters are counted again from it, without building anything: `PublishedModel.recount`.

>>> gpt3 = published("GPT-3 175B")
>>> gpt3.parameters, round(gpt3.recount() / 1e9, 1)
(175000000000, 174.6)
>>> published("WaveNet").parameters is None
True
>>> [model.name for model in MODELS if 4 in model.named_in]
['GPT-3 175B', 'BERT-base', 'BERT-large', 'DALL-E']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from course_lib.evaluation.footprint import TransformerShape, transformer_parameters

__all__ = [
    "MODELS",
    "PublishedModel",
    "deepseek_v3_parameters",
    "inception_v1_parameters",
    "inception_v3_parameters",
    "published",
    "resnet_parameters",
    "vgg_parameters",
    "waveglow_parameters",
]

BILLION, MILLION = 10**9, 10**6


@dataclass(frozen=True)
class PublishedModel:
    """What is published about a model.

    Attributes
    ----------
    name, family : str
        The model, and the name under which a family of sizes is known.
    year : int
        Of the paper's first version.
    field : str
        ``"text"``, ``"vision"``, ``"speech recognition"``, ``"speech synthesis"`` or ``"image generation"``.
    parameters : int or None
        As published, rounded as there; None where it is not.
    citation : str
        The paper, ``"arXiv:..."``, ``"doi:..."`` or an address; the numbers are its, unless `notes` says otherwise.
    data : str
        What it was trained on, in a few words.
    tokens : float or None
        Tokens read in training, repetitions included; None where they are not published, or the model reads none.
    compute : float or None
        FLOPs of the whole training, a multiply-add as two, where somebody published it.
    forward_multiply_adds : float or None
        Multiply-adds of one forward pass, as published: for vision, one image.
    active_parameters : int or None
        Those that one token uses, where they are fewer.
    shape : TransformerShape or None
        Where it is a transformer whose shape is public.
    counter : callable or None
        Counts the parameters of a model that is no transformer.
    named_in : tuple of int
        The source documents of this course that name it or its family.
    notes : str
        What is not published and why a number is as it is, with citations of its own.
    """

    name: str
    family: str
    year: int
    field: str
    parameters: int | None
    citation: str
    data: str
    tokens: float | None = None
    compute: float | None = None
    forward_multiply_adds: float | None = None
    active_parameters: int | None = None
    shape: TransformerShape | None = None
    counter: Callable[[], int] | None = None
    named_in: tuple[int, ...] = ()
    notes: str = ""

    def recount(self) -> int | None:
        """Count the parameters from the public shape; None where there is none."""
        if self.shape is not None:
            return transformer_parameters(self.shape)
        return self.counter() if self.counter is not None else None

    @property
    def size(self) -> int | None:
        """The published number of parameters, or the recount where none is published, or None."""
        return self.parameters if self.parameters is not None else self.recount()

    @property
    def link(self) -> str:
        """The address of the paper."""
        kind, _, number = self.citation.partition(":")
        if kind == "https":  # a report that was only put on a site
            return self.citation
        return f"https://arxiv.org/abs/{number}" if kind == "arXiv" else f"https://doi.org/{number}"


def vgg_parameters(layers: int = 16, classes: int = 1000) -> int:
    """Count the weights and biases of a VGG network (K. Simonyan, A. Zisserman, 2014, arXiv:1409.1556, table 1).

    Parameters
    ----------
    layers : int
        16 or 19, configurations D and E.
    classes : int
        Outputs.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there is no such network.

    Examples
    --------
    >>> vgg_parameters(16)
    138357544
    """
    if layers not in (16, 19):
        raise ValueError(f"layers is {layers!r}; allowed are 16, 19")
    repeats = (2, 2, 3, 3, 3) if layers == 16 else (2, 2, 4, 4, 4)
    total, before = 0, 3
    for width, count in zip((64, 128, 256, 512, 512), repeats, strict=True):
        for _ in range(count):
            total += 9 * before * width + width
            before = width
    for inputs, outputs in ((7 * 7 * 512, 4096), (4096, 4096), (4096, classes)):
        total += inputs * outputs + outputs
    return total


def resnet_parameters(layers: int = 50, classes: int = 1000) -> int:
    """Count the parameters of a residual network with bottlenecks (K. He et al., 2015, arXiv:1512.03385, table 1).

    Convolutions have no bias, because a batch normalisation with a scale and a shift follows each. Keras'
    implementation gives them one all the same, and counts the normalisations' statistics too.

    Parameters
    ----------
    layers : int
        50, 101 or 152.
    classes : int
        Outputs.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there is no such network.

    Examples
    --------
    >>> resnet_parameters(50)
    25557032
    """
    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    if layers not in blocks:
        raise ValueError(f"layers is {layers!r}; allowed are 50, 101, 152")

    def convolution(kernel: int, inputs: int, outputs: int) -> int:
        return kernel * kernel * inputs * outputs + 2 * outputs

    total, before = convolution(7, 3, 64), 64
    for stage, count in enumerate(blocks[layers]):
        width = 64 * 2**stage
        total += convolution(1, before, 4 * width)  # the shortcut changes its width at the first block
        for _ in range(count):
            total += convolution(1, before, width) + convolution(3, width, width) + convolution(1, width, 4 * width)
            before = 4 * width
    return total + before * classes + classes


# Outputs of each module's branches: 1x1; 3x3 after its reduction; 5x5 after its reduction; 1x1 after pooling.
_INCEPTION = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def inception_v1_parameters(classes: int = 1000) -> int:
    """Count the weights and biases of GoogLeNet without its auxiliary heads (C. Szegedy et al., 2014, arXiv:1409.4842).

    Parameters
    ----------
    classes : int
        Outputs.

    Returns
    -------
    int

    Examples
    --------
    >>> inception_v1_parameters()
    6998552
    """

    def convolution(kernel: int, inputs: int, outputs: int) -> int:
        return kernel * kernel * inputs * outputs + outputs

    total, before = convolution(7, 3, 64) + convolution(1, 64, 64) + convolution(3, 64, 192), 192
    for one, reduce3, three, reduce5, five, pooled in _INCEPTION:
        total += convolution(1, before, one) + convolution(1, before, pooled)
        total += convolution(1, before, reduce3) + convolution(3, reduce3, three)
        total += convolution(1, before, reduce5) + convolution(5, reduce5, five)
        before = one + three + five + pooled
    return total + before * classes + classes


def inception_v3_parameters(classes: int = 1000) -> int:
    """Count the trained parameters of Inception v3 without auxiliary head (C. Szegedy et al., 2015, arXiv:1512.00567).

    Convolutions have no bias; a batch normalisation with a shift and no scale follows each.

    Parameters
    ----------
    classes : int
        Outputs.

    Returns
    -------
    int

    Examples
    --------
    >>> inception_v3_parameters()
    23817352
    """

    def branch(inputs: int, *steps: tuple[int, int]) -> int:
        """Add up convolutions in a row, each given by the places of its window and its outputs."""
        total = 0
        for places, outputs in steps:
            total += places * inputs * outputs + outputs
            inputs = outputs
        return total

    total = branch(3, (9, 32), (9, 32), (9, 64), (1, 80), (9, 192))
    for inputs, pooled in ((192, 32), (256, 64), (288, 64)):
        total += branch(inputs, (1, 64)) + branch(inputs, (1, 48), (25, 64)) + branch(inputs, (1, pooled))
        total += branch(inputs, (1, 64), (9, 96), (9, 96))
    total += branch(288, (9, 384)) + branch(288, (1, 64), (9, 96), (9, 96))
    for c in (128, 160, 160, 192):
        total += 2 * branch(768, (1, 192)) + branch(768, (1, c), (7, c), (7, 192))
        total += branch(768, (1, c), (7, c), (7, c), (7, c), (7, 192))
    total += branch(768, (1, 192), (9, 320)) + branch(768, (1, 192), (7, 192), (7, 192), (9, 192))
    for inputs in (1280, 2048):
        total += branch(inputs, (1, 320)) + branch(inputs, (1, 192))
        total += branch(inputs, (1, 384)) + 2 * branch(384, (3, 384))
        total += branch(inputs, (1, 448), (9, 384)) + 2 * branch(384, (3, 384))
    return total + 2048 * classes + classes


def waveglow_parameters(channels: int = 512, flows: int = 12, layers: int = 8, mels: int = 80, group: int = 8) -> int:
    """Count the parameters of WaveGlow (R. Prenger et al., 2018, arXiv:1811.00002) as its authors' program has it.

    Groups of 8 samples go through 12 couplings; after every 4, two channels leave. Each coupling has an invertible 1x1
    convolution and a network of 8 layers whose residual and skip paths are equally wide. Spectrogram frames are spread
    over the samples by a transposed convolution of 1024 taps. The lengths of weight normalisation, which training keeps
    apart, are not counted.

    Parameters
    ----------
    channels : int
        Width of the residual and skip paths.
    flows, layers : int
        Couplings, and layers in each.
    mels, group : int
        Bands of the spectrogram, and samples a group.

    Returns
    -------
    int

    Examples
    --------
    >>> [round(waveglow_parameters(channels) / 1e6, 1) for channels in (256, 512)]
    [87.7, 268.0]
    """
    total, remaining = mels * mels * 1024 + mels, group
    condition = mels * group
    for flow in range(flows):
        if flow and flow % 4 == 0:
            remaining -= 2
        half = remaining // 2
        total += remaining * remaining  # the invertible convolution, without bias
        total += half * channels + channels + channels * 2 * half + 2 * half  # in and out
        total += (condition + 1) * 2 * channels * layers
        total += layers * (3 * channels + 1) * 2 * channels
        total += (layers - 1) * (channels + 1) * 2 * channels + (channels + 1) * channels
    return total


def deepseek_v3_parameters(active: bool = False) -> int:
    """Count the parameters of DeepSeek-V3's main model from the shape in its report (arXiv:2412.19437, section 4.2).

    61 layers of width 7168; attention through latent vectors of 1536 (queries) and 512 (keys and values) with 128 heads
    of 128 + 64 numbers; 3 dense layers of 18432, then 1 shared and 256 routed experts of 2048, of which a token uses 8;
    a vocabulary of 129,280 with separate tables for input and output.

    Parameters
    ----------
    active : bool
        Count only the experts that one token uses, and not the input table, which is only looked up.

    Returns
    -------
    int

    Examples
    --------
    >>> round(deepseek_v3_parameters() / 1e9), round(deepseek_v3_parameters(active=True) / 1e9)
    (671, 37)
    """
    d, heads, content, position, latent_q, latent_kv = 7168, 128, 128, 64, 1536, 512
    attention = d * latent_q + latent_q + latent_q * heads * (content + position)
    attention += d * (latent_kv + position) + latent_kv + latent_kv * heads * 2 * content + heads * content * d
    dense, expert, router = 3 * d * 18432, 3 * d * 2048, d * 256 + 256
    experts = (8 if active else 256) + 1
    tables = d * 129_280 * (1 if active else 2)
    return 61 * (attention + 2 * d) + 3 * dense + 58 * (experts * expert + router) + d + tables


_GPT3_TABLE = "Compute: table D.1 of arXiv:2005.14165."


def _gpt2(layers: int, width: int, heads: int) -> TransformerShape:
    return TransformerShape(layers, width, heads, 50257, positions=1024)


def _bert(layers: int, width: int, heads: int) -> TransformerShape:
    return TransformerShape(layers, width, heads, 30522, positions=512, token_types=2, pooler=True)


def _roberta(layers: int, width: int, heads: int) -> TransformerShape:
    return TransformerShape(layers, width, heads, 50265, positions=514, token_types=1, pooler=True)


def _t5(layers: int, width: int, heads: int, inner: int, head_width: int) -> TransformerShape:
    return TransformerShape(
        layers, width, heads, 32128, inner, head_width, bias=False, norm_vectors=1, relative_buckets=32,
        decoder_layers=layers,
    )  # fmt: skip


def _llama(
    layers: int, width: int, heads: int, inner: int, kv_heads: int | None = None, vocabulary: int = 32000,
    experts: int = 1, active: int = 1,
) -> TransformerShape:  # fmt: skip
    return TransformerShape(
        layers, width, heads, vocabulary, inner, key_value_heads=kv_heads, gated=True, bias=False, norm_vectors=1,
        tied=False, experts=experts, active_experts=active,
    )  # fmt: skip


_IMAGENET = "ImageNet: 1.28 million images, 1000 classes"
_ELECTRA = "Compute: tables 1 and 2 of arXiv:2003.10555, which takes a backward pass for as costly as a forward one."
_GPT1 = "https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf"
_GPT2 = "https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf"
_GPT2_NOTE = "The paper's table says {}; the authors' repository corrects it. Training compute is not published."
_WORDS = "BooksCorpus and English Wikipedia, 3.3 billion words, read about 40 times"

MODELS: tuple[PublishedModel, ...] = (
    # Text
    PublishedModel(
        "GPT-1", "GPT", 2018, "text", None, _GPT1, "BooksCorpus",
        shape=TransformerShape(12, 768, 12, 40478, positions=512, outer_norms=0), named_in=(1, 3, 5),
        notes="Its report gives no number; 117 million is what later papers say. Training compute is not published.",
    ),
    PublishedModel(
        "GPT-2 small", "GPT", 2019, "text", 124 * MILLION, _GPT2, "WebText, 40 GB of English pages",
        shape=_gpt2(12, 768, 12), named_in=(1, 3, 5), notes=_GPT2_NOTE.format("117 million"),
    ),
    PublishedModel(
        "GPT-2 XL", "GPT", 2019, "text", 1558 * MILLION, _GPT2, "WebText, 40 GB of English pages",
        shape=_gpt2(48, 1600, 25), named_in=(1, 3, 5), notes=_GPT2_NOTE.format("1542 million"),
    ),
    PublishedModel(
        "GPT-3 175B", "GPT", 2020, "text", 175 * BILLION, "arXiv:2005.14165",
        "filtered Common Crawl, WebText2, books, Wikipedia", tokens=300e9, compute=3.14e23,
        shape=TransformerShape(96, 12288, 96, 50257, positions=2048), named_in=(1, 3, 4, 5),
        notes=_GPT3_TABLE + " The shape gives 174.6 billion with one table for input and output.",
    ),
    PublishedModel(
        "BERT-base", "BERT", 2018, "text", 110 * MILLION, "arXiv:1810.04805", _WORDS, tokens=256 * 512 * 1e6,
        compute=6.4e19, forward_multiply_adds=11.25e9, shape=_bert(12, 768, 12), named_in=(1, 3, 4, 5),
        notes=_ELECTRA + " Forward: half of the 22.5 billion FLOPs at 128 tokens in arXiv:2004.02984.",
    ),
    PublishedModel(
        "BERT-large", "BERT", 2018, "text", 340 * MILLION, "arXiv:1810.04805", _WORDS, tokens=256 * 512 * 1e6,
        compute=1.9e20, shape=_bert(24, 1024, 16), named_in=(1, 3, 4, 5),
        notes=_ELECTRA + " The shape gives 335 million; the paper rounds up.",
    ),
    PublishedModel(
        "RoBERTa-base", "RoBERTa", 2019, "text", 125 * MILLION, "arXiv:1907.11692", "160 GB of English text",
        compute=1.50e21, shape=_roberta(12, 768, 12), named_in=(3,), notes=_GPT3_TABLE,
    ),
    PublishedModel(
        "RoBERTa-large", "RoBERTa", 2019, "text", 355 * MILLION, "arXiv:1907.11692", "160 GB of English text",
        compute=4.26e21, shape=_roberta(24, 1024, 16), named_in=(3,), notes=_GPT3_TABLE,
    ),
    PublishedModel(
        "T5-small", "T5", 2019, "text", 60 * MILLION, "arXiv:1910.10683", "C4, 750 GB of English pages", tokens=1e12,
        shape=_t5(6, 512, 8, 2048, 64),
    ),
    PublishedModel(
        "T5-11B", "T5", 2019, "text", 11 * BILLION, "arXiv:1910.10683", "C4, 750 GB of English pages", tokens=1e12,
        compute=3.30e22, notes=_GPT3_TABLE,
        shape=_t5(24, 1024, 128, 65536, 128),
    ),
    PublishedModel(
        "Gopher", "Gopher", 2021, "text", 280 * BILLION, "arXiv:2112.11446", "MassiveText", tokens=300e9,
        compute=5.76e23,
        shape=TransformerShape(80, 16384, 128, 32000, head_width=128, relative_projection=True, norm_vectors=1),
        notes="Compute: arXiv:2203.15556, which gives Chinchilla the same budget.",
    ),
    PublishedModel(
        "Chinchilla", "Chinchilla", 2022, "text", 70 * BILLION, "arXiv:2203.15556", "MassiveText", tokens=1.4e12,
        compute=5.76e23,
        shape=TransformerShape(80, 8192, 64, 32000, head_width=128, relative_projection=True, norm_vectors=1),
        notes="The budget of Gopher, by design of the study.",
    ),
    PublishedModel(
        "PaLM 540B", "PaLM", 2022, "text", 540_350 * MILLION, "arXiv:2204.02311", "web pages, books, code, chats",
        tokens=780e9, compute=2.53e24,
        shape=TransformerShape(
            118, 18432, 48, 256_000, head_width=256, key_value_heads=1, gated=True, bias=False, norm_vectors=1, norms=1
        ),
    ),
    PublishedModel(
        "LLaMA 65B", "LLaMA", 2023, "text", 65_200 * MILLION, "arXiv:2302.13971", "public text", tokens=1.4e12,
        shape=_llama(80, 8192, 64, 22016), notes="The width of the feed-forward layer is that of the released weights.",
    ),
    PublishedModel(
        "Llama 2 70B", "LLaMA", 2023, "text", 70 * BILLION, "arXiv:2307.09288", "public text", tokens=2e12,
        shape=_llama(80, 8192, 64, 28672, 8),
        notes="The width of the feed-forward layer is that of the released weights.",
    ),
    PublishedModel(
        "Llama 3 8B", "LLaMA", 2024, "text", 8 * BILLION, "arXiv:2407.21783", "text of many languages, code",
        shape=_llama(32, 4096, 32, 14336, 8, 128_256), notes="The report gives tokens and compute of the largest only.",
    ),
    PublishedModel(
        "Llama 3 405B", "LLaMA", 2024, "text", 405 * BILLION, "arXiv:2407.21783", "text of many languages, code",
        tokens=15.6e12, compute=3.8e25, shape=_llama(126, 16384, 128, 53248, 8, 128_256),
    ),
    PublishedModel(
        "Mixtral 8x7B", "Mixtral", 2024, "text", 47 * BILLION, "arXiv:2401.04088", "text of several languages",
        active_parameters=13 * BILLION, shape=_llama(32, 4096, 32, 14336, 8, experts=8, active=2),
        notes="Tokens and compute are not published.",
    ),
    PublishedModel(
        "DeepSeek-V3", "DeepSeek", 2024, "text", 671 * BILLION, "arXiv:2412.19437", "text of many languages, code",
        tokens=14.8e12, active_parameters=37 * BILLION, counter=deepseek_v3_parameters,
        notes="The report gives 2.788 million hours of H800 GPUs, not FLOPs. The main model alone.",
    ),
    # Vision
    PublishedModel(
        "VGG-16", "VGG", 2014, "vision", 138 * MILLION, "arXiv:1409.1556", _IMAGENET, forward_multiply_adds=15.3e9,
        counter=lambda: vgg_parameters(16), named_in=(1, 3),
        notes="Forward: arXiv:1512.03385, which calls a multiply-add a FLOP. Training compute is not published.",
    ),
    PublishedModel(
        "VGG-19", "VGG", 2014, "vision", 144 * MILLION, "arXiv:1409.1556", _IMAGENET, forward_multiply_adds=19.6e9,
        counter=lambda: vgg_parameters(19), named_in=(1, 3),
        notes="Forward: arXiv:1512.03385, which calls a multiply-add a FLOP. Training compute is not published.",
    ),
    PublishedModel(
        "Inception v1", "Inception", 2014, "vision", None, "arXiv:1409.4842", _IMAGENET, forward_multiply_adds=1.5e9,
        counter=inception_v1_parameters, named_in=(1, 3),
        notes="The paper says 12 times fewer parameters than the winner of 2012, and gives no total.",
    ),
    PublishedModel(
        "Inception v3", "Inception", 2015, "vision", None, "arXiv:1512.00567", _IMAGENET, forward_multiply_adds=5e9,
        counter=inception_v3_parameters, named_in=(1, 3),
        notes="The paper says fewer than 25 million. Keras' implementation counts 34,432 statistics in addition.",
    ),
    PublishedModel(
        "ResNet-50", "ResNet", 2015, "vision", None, "arXiv:1512.03385", _IMAGENET, forward_multiply_adds=3.8e9,
        counter=lambda: resnet_parameters(50), named_in=(1, 3, 5),
        notes="The paper's table gives FLOPs, meaning multiply-adds, and no parameters.",
    ),
    PublishedModel(
        "ResNet-152", "ResNet", 2015, "vision", None, "arXiv:1512.03385", _IMAGENET, forward_multiply_adds=11.3e9,
        counter=lambda: resnet_parameters(152), named_in=(1, 3, 5),
        notes="The paper's table gives FLOPs, meaning multiply-adds, and no parameters.",
    ),
    # Speech
    PublishedModel(
        "DeepSpeech", "DeepSpeech", 2014, "speech recognition", None, "arXiv:1412.5567",
        "about 5000 hours of read English, and public corpora", named_in=(1, 3),
        notes="The paper gives layers and widths of several models, and no number of parameters.",
    ),
    PublishedModel(
        "DeepSpeech 2", "DeepSpeech", 2015, "speech recognition", 100 * MILLION, "arXiv:1512.02595",
        "11,940 hours of English, 9,400 of Mandarin", named_in=(1, 3),
        notes="The largest of its study of sizes. Compute: tens of exaFLOPs a model, without a number.",
    ),
    PublishedModel(
        "WaveNet", "WaveNet", 2016, "speech synthesis", None, "arXiv:1609.03499",
        "24.6 hours of English, 34.8 of Mandarin", named_in=(1,),
        notes="The paper gives neither the widths nor a number of parameters.",
    ),
    PublishedModel(
        "WaveRNN", "WaveRNN", 2018, "speech synthesis", None, "arXiv:1802.08435", "44 hours of English", named_in=(3,),
        notes="A state of 896: its recurrent matrix alone has 3 x 896 x 896 = 2.4 million. No total is stated here.",
    ),
    PublishedModel(
        "WaveGlow", "WaveGlow", 2018, "speech synthesis", None, "arXiv:1811.00002", "LJ Speech, 24 hours of English",
        counter=waveglow_parameters, named_in=(3,),
        notes="The paper gives none. Recount: its program with 512 channels. arXiv:1912.01219: 87.88 million with 256.",
    ),
    # Images from text
    PublishedModel(
        "DALL-E", "DALL-E", 2021, "image generation", 12 * BILLION, "arXiv:2102.12092", "250 million images with text",
        shape=TransformerShape(64, 3968, 62, 16384 + 256 + 8192, positions=1280, tied=False), named_in=(4,),
        notes="The transformer alone. How its tables are tied is not published; they are one part in sixty.",
    ),
    PublishedModel(
        "DALL-E 2", "DALL-E", 2022, "image generation", 3500 * MILLION, "arXiv:2204.06125",
        "250 million images with text",
        notes="The decoder alone, as the data; the prior has another billion, the two upsamplers one.",
    ),
)  # fmt: skip


def published(name: str) -> PublishedModel:
    """Find a model by its name.

    Parameters
    ----------
    name : str
        As in `MODELS`.

    Returns
    -------
    PublishedModel

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    for model in MODELS:
        if model.name == name:
            return model
    raise ValueError(f"name is {name!r}; allowed are {', '.join(model.name for model in MODELS)}")
