"""The table of published models: counted again, and consistent with itself."""

import re

import pytest

from course_lib.evaluation import published
from course_lib.evaluation.footprint import training_flops, transformer_parameters
from course_lib.evaluation.published import MODELS, PublishedModel

# Exact counts of the released weights: of transformers' models built here (GPT, BERT, RoBERTa: shared/peers.md), of the
# published checkpoints (T5, LLaMA, Mixtral), of torchvision's and Caffe's networks.
EXACT = {
    "GPT-1": 116_534_784, "GPT-2 small": 124_439_808, "GPT-2 XL": 1_557_611_200, "BERT-base": 109_482_240,
    "BERT-large": 335_141_888, "RoBERTa-base": 124_645_632, "RoBERTa-large": 355_359_744, "T5-small": 60_506_624,
    "T5-11B": 11_307_321_344, "LLaMA 65B": 65_285_660_672, "Llama 2 70B": 68_976_648_192,
    "Llama 3 8B": 8_030_261_248, "Mixtral 8x7B": 46_702_792_704, "VGG-16": 138_357_544, "VGG-19": 143_667_240,
    "Inception v1": 6_998_552, "Inception v3": 23_817_352, "ResNet-50": 25_557_032, "ResNet-152": 60_192_808,
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_recount_is_exact(name):
    assert published.published(name).recount() == EXACT[name]


@pytest.mark.parametrize("model", [m for m in MODELS if m.parameters and m.recount()], ids=lambda m: m.name)
def test_recount_is_within_the_rounding_of_the_paper(model):
    # BERT-large (340 for 335), T5 (11 for 11.3) and DALL-E (12 for 12.3) are the coarsest.
    assert model.recount() == pytest.approx(model.parameters, rel=0.03)


def test_palm_and_deepseek_to_four_figures():
    assert published.published("PaLM 540B").recount() == pytest.approx(540.35e9, rel=1e-4)
    assert published.deepseek_v3_parameters() == pytest.approx(671e9, rel=1e-3)
    assert published.deepseek_v3_parameters(active=True) == pytest.approx(37e9, rel=0.02)
    mixtral = published.published("Mixtral 8x7B")
    assert transformer_parameters(mixtral.shape, active=True) == pytest.approx(mixtral.active_parameters, rel=0.02)


def test_waveglow_in_both_sizes_of_another_paper():
    # arXiv:1912.01219 counts 87.88 million with 256 channels; weight normalisation adds some.
    assert published.waveglow_parameters(256) == pytest.approx(87.88e6, rel=0.005)


def test_waveglow_by_hand():
    # One spectrogram band, groups of 8, width 1, one layer a coupling, 5 couplings: the last has 6 channels left.
    spread = 1024 + 1
    coupling = (8 + 1) * 2 + (3 + 1) * 2 + (1 + 1) * 1  # condition, dilated convolution, the last skip
    eight, six = 8 * 8 + (4 + 1) + (8 + 8), 6 * 6 + (3 + 1) + (6 + 6)
    assert published.waveglow_parameters(1, flows=5, layers=1, mels=1) == spread + 5 * coupling + 4 * eight + six


def test_resnet_101_and_other_heads():
    assert published.resnet_parameters(101) == 44_549_160  # torchvision's
    assert published.resnet_parameters(50, classes=10) == 25_557_032 - 990 * 2049
    assert published.vgg_parameters(16, classes=10) == 138_357_544 - 990 * 4097
    assert published.inception_v1_parameters(classes=10) == 6_998_552 - 990 * 1025


@pytest.mark.parametrize("model", [m for m in MODELS if m.compute and m.tokens], ids=lambda m: m.name)
def test_published_compute_is_near_6nd(model):
    # BERT's were counted with a backward pass as cheap as the forward one. A token of T5 passes one of its two stacks.
    n = model.active_parameters or model.size
    low, high = (0.45, 0.8) if model.field == "text" and model.family in ("BERT", "T5") else (0.9, 1.2)
    assert low < model.compute / training_flops(n, model.tokens) < high


def test_every_model_has_a_citation_and_a_reason_for_what_is_missing():
    assert len({model.name for model in MODELS}) == len(MODELS)
    for model in MODELS:
        assert re.fullmatch(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\S+|https://\S+", model.citation), model.name
        assert model.link.startswith("https://")
        if model.parameters is None:
            assert re.search(r"paper|report|total", model.notes), model.name
        assert set(model.named_in) <= {1, 2, 3, 4, 5}


def test_all_models_that_the_sources_name_are_there():
    families = {m.family for m in MODELS if m.named_in}
    assert families == {"BERT", "RoBERTa", "GPT", "ResNet", "VGG", "Inception", "DeepSpeech", "WaveNet", "WaveGlow",
                        "WaveRNN", "DALL-E"}  # fmt: skip


def test_bad_names_are_answered_with_the_good_ones():
    with pytest.raises(ValueError, match="allowed are GPT-1, "):
        published.published("GPT-5")
    with pytest.raises(ValueError, match="layers is 34"):
        published.resnet_parameters(34)
    with pytest.raises(ValueError, match="layers is 11"):
        published.vgg_parameters(11)


def test_a_model_without_shape_has_no_recount():
    model = PublishedModel("x", "x", 2000, "text", 7, "arXiv:0000.0000", "")
    assert model.recount() is None
    assert model.size == 7
