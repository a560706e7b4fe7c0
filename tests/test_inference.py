import sys

import imageio.v3
import numpy as np
import pytest
import torch
from PIL import Image

import minida
from minida.export import for_inference
from minida.inference import list_files, predict_files, predict_image, read_pictures, refuse_overwriting

SIZE = (64, 128)


def frames(count):
    """(count, 48, 64, 3): frame n is grey 40 * n."""
    return np.stack([np.full((48, 64, 3), 40 * number, np.uint8) for number in range(count)])


@pytest.fixture
def folder(tmp_path):
    """drive.mp4 of 5 frames, loop.gif of 3 and street.png."""
    (tmp_path / "in").mkdir()
    imageio.v3.imwrite(tmp_path / "in" / "drive.mp4", frames(5), fps=10)
    imageio.v3.imwrite(tmp_path / "in" / "loop.gif", frames(3), duration=100)
    Image.new("RGB", (30, 20), (200, 100, 0)).save(tmp_path / "in" / "street.png")
    return tmp_path / "in"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return minida.BiSeNet(19, "slim").eval()


def test_pictures_of_images_and_videos_come_in_order(folder):
    pictures = list(read_pictures(list_files([folder])))
    videos = [f"drive_0000{n}" for n in range(5)] + [f"loop_0000{n}" for n in range(3)]
    assert [name for name, _ in pictures] == [*videos, "street"]
    assert [tuple(image.shape) for _, image in pictures] == [(3, 48, 64)] * 8 + [(3, 20, 30)]
    assert all(image.dtype == torch.uint8 for _, image in pictures)
    grey = [image.float().mean().item() for _, image in pictures[:8]]
    assert grey == pytest.approx([0, 40, 80, 120, 160, 0, 40, 80], abs=4)  # a video is compressed with loss
    assert pictures[-1][1][:, 0, 0].tolist() == [200, 100, 0]


def test_files_are_written_picture_by_picture_as_predict_image_decides(model, tmp_path):
    shown = []

    def pictures():
        for number in range(3):
            assert len(list(tmp_path.iterdir())) == 2 * number  # no picture waits for the next one
            shown.append(torch.randint(0, 256, (3, 40 + number, 70), dtype=torch.uint8))
            yield f"x{number}", shown[-1]

    found = predict_files(model, pictures(), tmp_path, SIZE, progress=False)
    for number, image in enumerate(shown):
        labels = np.array(Image.open(tmp_path / f"x{number}.png"))
        assert labels.shape == (40 + number, 70)  # decided there, not at the network's size
        np.testing.assert_array_equal(labels, predict_image(model, image, SIZE))
        assert Image.open(tmp_path / f"x{number}_overlay.jpg").size == (70, 40 + number)
    assert found["images"] == 3
    assert 0 < found["images_per_second"] < found["network_per_second"]  # reading and writing take time too


def test_prediction_is_the_best_class_at_the_images_own_size(model):
    image = torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8)
    probs = model.probs(minida.data.normalise(image[None]))
    labels = predict_image(model, image, (32, 64))
    assert labels.dtype == np.uint8 and len(np.unique(labels)) > 2
    np.testing.assert_array_equal(labels, probs.argmax(1)[0].numpy())
    deployed = for_inference(model, torch.device("cpu"), "float32")
    assert (predict_image(deployed, image, (32, 64)) == labels).mean() > 0.999


def test_files_that_cannot_be_told_apart_are_refused(folder, tmp_path):
    Image.new("RGB", (8, 8)).save(folder / "drive_00003.png")  # as the video's fourth frame will be called
    with pytest.raises(ValueError, match="two files are named 'drive'"):
        list_files([folder])
    names = ["street_00001.png", "street_00002.png"]  # frames of nothing: their own names
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert [file.name for file in list_files([tmp_path])] == names
    with pytest.raises(ValueError, match="two files are named 'street'"):
        list_files([folder / "street.png", folder / "street.png"])


def test_what_cannot_be_read_is_named_in_one_line(folder, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nothere.mp4"):
        with pytest.raises(ValueError, match=f"{path.name}: no image there.*mp4"):
            list_files([path])
    for name in ("bad.mp4", "bad.gif"):
        (tmp_path / name).write_text("no video")
        with pytest.raises(ValueError, match=rf"{name}: cannot be read as a video \(.+\); copy") as error:
            list(read_pictures(list_files([tmp_path / name])))
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ValueError, match=r'drive.mp4: .*pip install "imageio\[ffmpeg\]"'):
        list_files([folder])
    assert list_files([folder / "street.png"]) == [folder / "street.png"]


def test_a_picture_is_never_replaced_by_its_own_labels(tmp_path):
    photo, other = tmp_path / "a.png", tmp_path / "sub" / "a_overlay.jpg"
    refuse_overwriting([photo, other], tmp_path / "out")
    refuse_overwriting([tmp_path / "a.jpg"], tmp_path)
    for files, out in (([photo], tmp_path), ([photo, other], tmp_path / "sub"), ([photo], tmp_path / "out" / "..")):
        with pytest.raises(ValueError, match="would be replaced by what is written; choose another --out"):
            refuse_overwriting(files, out)
