from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
import torchvision

import minida
from minida.models.bisenet import AttentionRefinement, FeatureFusion, upsample


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("backbone", "whole", "without_aux"), [("resnet18", 12_068_672, 12_054_042), ("resnet101", 48_752_192, 48_693_786)]
)
def test_parameter_counts_of_the_report(backbone, whole, without_aux):
    model = minida.BiSeNet(19, backbone)
    assert parameters(model) == whole
    assert whole - parameters(model.aux16) - parameters(model.aux32) == without_aux


def test_paths_have_their_strides():
    model = minida.BiSeNet(19, "resnet18").eval()
    spatial, at16, at32 = model.features(torch.randn(1, 3, 96, 192))
    assert spatial.shape == (1, 256, 12, 24)
    assert at16.shape == (1, 256, 6, 12)
    assert at32.shape == (1, 512, 3, 6)


@pytest.mark.parametrize("size", [(64, 128), (65, 127), (50, 33)])
def test_logits_have_the_inputs_size(size):
    model = minida.BiSeNet(5, "slim")
    output = model.train()(torch.randn(2, 3, *size))
    assert [x.shape for x in (output.logits, *output.aux)] == [(2, 5, *size)] * 3
    output = model.eval()(torch.randn(1, 3, *size))
    assert output.logits.shape == (1, 5, *size)
    assert output.aux == () and output.embedding is None


def test_upsampling_is_bilinear_and_so_is_its_gradient():
    ours = torch.randn(2, 3, 5, 7, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    weight = torch.randn(2, 3, 33, 50)
    a = upsample(ours, 33, 50)
    b = F.interpolate(theirs, size=(33, 50), mode="bilinear", align_corners=False)
    torch.testing.assert_close(a, b)
    (a * weight).sum().backward()
    (b * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_head_before_upsampling_equals_the_papers_order():
    model = minida.BiSeNet(7, "slim").eval()
    image = torch.randn(2, 3, 64, 96)
    seen = {}
    model.fusion.register_forward_hook(lambda module, inputs, output: seen.update(fused=output))
    ours = model(image).logits
    upsampled = F.interpolate(seen["fused"], size=(64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, model.head(upsampled), rtol=1e-4, atol=1e-5)


def test_attention_refinement_by_hand():
    arm = AttentionRefinement(1).eval()
    with torch.no_grad():
        arm.conv.weight.fill_(2.0)
        arm.conv.bias.fill_(1.0)
    features = torch.tensor([[[[1.0, 3.0], [0.0, 0.0]]]])  # average 1, so the gate is sigmoid(2 * 1 + 1)
    gate = torch.sigmoid(torch.tensor(3.0 / (1 + arm.norm.eps) ** 0.5))
    torch.testing.assert_close(arm(features), features * gate)


def test_fusion_adds_the_reweighted_features_back():
    fusion = FeatureFusion(4, 3).eval()
    with torch.no_grad():
        fusion.squeeze[2].weight.zero_()
        fusion.squeeze[2].bias.fill_(100.0)  # gate 1: the output is twice the convolution's
    features = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(fusion(features), 2 * fusion.conv(features))


def test_the_tail_multiplies_the_refined_32_branch():
    model = minida.BiSeNet(3, "slim").eval()
    image = torch.randn(1, 3, 64, 64)
    _, at32, tail = model.context_path(image)
    torch.testing.assert_close(tail, at32.mean((2, 3), keepdim=True))
    torch.testing.assert_close(model.features(image)[2], model.refine32(at32) * tail)


def test_probs_are_a_softmax_in_evaluation_mode_and_restore_the_mode():
    model = minida.BiSeNet(4, "slim").train()
    probs = model.probs(torch.randn(1, 3, 64, 64))  # a batch of one: only possible in evaluation mode
    torch.testing.assert_close(probs.sum(1), torch.ones(1, 64, 64))
    assert not probs.requires_grad and model.training
    assert not model.eval().probs(torch.randn(1, 3, 32, 32)).requires_grad and not model.training


def test_embedding_head_taps_the_concatenated_features():
    model = minida.BiSeNet(3, "slim", embedding=256).eval()
    assert model(torch.randn(1, 3, 64, 96)).embedding.shape == (1, 256, 8, 12)
    assert model.embedding[0][0].in_channels == model.fusion.conv[0].in_channels


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minida.BiSeNet(backbone="resnet50"), "resnet18, resnet101, slim"),
        (lambda: minida.BiSeNet(3, "slim").train()(torch.zeros(1, 3, 64, 64)), "batch of 1"),
        (lambda: minida.BiSeNet(3, "slim")(torch.zeros(2, 1, 64, 64)), r"\(B, 3, H, W\)"),
        (lambda: minida.BiSeNet(3, "slim", weights="imagenet"), "slim has none"),
        (lambda: minida.BiSeNet(3, "resnet18", weights="nowhere.pt"), "no such file"),
    ],
)
def test_mistakes_get_a_clear_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_weights_from_a_file(tmp_path):
    resnet = torchvision.models.resnet18(weights=None)
    state = resnet.state_dict()
    torch.save(state, tmp_path / "r18.pt")
    model = minida.BiSeNet(19, "resnet18", weights=str(tmp_path / "r18.pt"))
    torch.testing.assert_close(model.context_path.layer4[1].conv2.weight, resnet.layer4[1].conv2.weight)
    # a body alone, of a classifier with other classes, and of a torch that did not count batches
    bare = {key: value for key, value in state.items() if "num_batches" not in key and not key.startswith("fc.")}
    torch.save({**bare, "fc.weight": torch.zeros(7, 512)}, tmp_path / "bare.pt")
    model = minida.BiSeNet(19, "resnet18", weights=str(tmp_path / "bare.pt"))
    torch.testing.assert_close(model.context_path.stem[0].weight, resnet.conv1.weight)


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path):
    state = torchvision.models.resnet18(weights=None).state_dict()
    for name, wrong, message in (
        ("half", {"conv1.weight": torch.zeros(64, 3, 7, 7)}, "do not fit this backbone: 99 keys differ, e.g. bn1.bias"),
        ("shape", {**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, "1 keys differ, e.g. conv1.weight"),
        ("more", {**state, "layer9.weight": torch.zeros(1)}, "1 keys differ, e.g. layer9.weight"),
        ("nested", {"model": state}, "hold no state dict; expected torch.save"),
    ):
        torch.save(wrong, tmp_path / f"{name}.pt")
        with pytest.raises(ValueError, match=f"{name}.pt' .*{message}") as caught:
            minida.BiSeNet(19, "resnet18", weights=str(tmp_path / f"{name}.pt"))
        assert "\n" not in str(caught.value)
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ValueError, match="text.pt' cannot be read .*; expected a state dict of torch.save"):
        minida.BiSeNet(19, "resnet18", weights=str(tmp_path / "text.pt"))


def test_imagenet_weights_come_from_torchvision(monkeypatch):
    wanted = torchvision.models.resnet18(weights=None).state_dict()
    asked = []

    def download(self, **options):
        asked.append((str(self), options))
        return wanted

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", download)
    model = minida.BiSeNet(19, "resnet18", weights="imagenet")
    assert asked == [("ResNet18_Weights.IMAGENET1K_V1", {"check_hash": True})]
    torch.testing.assert_close(model.context_path.stem[0].weight, wanted["conv1.weight"])


@pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("invalid hash value")])
def test_without_a_network_the_line_names_the_file_to_fetch(monkeypatch, error):
    def refuse(self, **options):
        raise error

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", refuse)
    with pytest.raises(
        ValueError, match=r"could not be downloaded \(.*(network|hash).*\); fetch https://.*resnet18.*weights=FILE"
    ):
        minida.BiSeNet(19, "resnet18", weights="imagenet")
