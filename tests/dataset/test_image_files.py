import numpy as np
import pytest
from dataset_files import write_blob, write_image

import headrace as hr
from headrace import dataset
from headrace.testing import check_resume

SYNSETS = ["n01440764", "n01443537"]


@pytest.fixture
def meta(tmp_path):
    folder = tmp_path / "meta"
    folder.mkdir()
    (folder / "synsets.txt").write_text("\n".join(SYNSETS) + "\n")
    (folder / "synset_words.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    (folder / "train.txt").write_text("n01440764/n01440764_1.JPEG 0\nn01443537/n01443537_2.JPEG 1\n")
    (folder / "val.txt").write_text("ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000002.JPEG 0\n")
    write_blob(folder / "imagenet_mean.binaryproto", np.arange(3 * 256 * 256).reshape(3, 256, 256) % 251)
    return folder


@pytest.fixture
def images(tmp_path, meta):
    folder = tmp_path / "ilsvrc"
    write_image(folder / "train/n01440764/n01440764_1.JPEG", (10, 20, 30))
    write_image(folder / "train/n01443537/n01443537_2.JPEG", (40, 50, 60))
    for n in (1, 2):
        write_image(folder / f"val/ILSVRC2012_val_0000000{n}.JPEG", (n, n, n))
    return folder


def test_ilsvrc_gives_paths_or_bgr_images(images, meta):
    files = dataset.ILSVRC12Files(images, "train", meta_dir=meta, shuffle=False)
    assert list(files) == [
        [str(images / "train/n01440764/n01440764_1.JPEG"), 0],
        [str(images / "train/n01443537/n01443537_2.JPEG"), 1],
    ]
    flow = dataset.ILSVRC12(str(images), "train", str(meta), shuffle=False)
    assert [(image[0, 0].tolist(), label) for image, label in flow] == [([10, 20, 30], 0), ([40, 50, 60], 1)]
    assert flow.imglist == files.imglist
    check_resume(lambda: dataset.ILSVRC12(images, "train", meta))


def test_only_training_is_shuffled_by_default(images, meta):
    assert dataset.ILSVRC12Files(images, "train", meta).shuffle is True
    assert dataset.ILSVRC12Files(images, "val", meta).shuffle is False


def test_both_structures_of_val_are_found(images, meta, tmp_path):
    flow = dataset.ILSVRC12(images, "val", meta)
    assert [(int(image[0, 0, 0]), label) for image, label in flow] == [(1, 1), (2, 0)]
    other = tmp_path / "other"
    write_image(other / "val/n01443537/ILSVRC2012_val_00000001.JPEG", 1)
    write_image(other / "val/n01440764/ILSVRC2012_val_00000002.JPEG", 2)
    flow = dataset.ILSVRC12(other, "val", meta)
    assert flow.dir_structure == "train"
    assert [(int(image[0, 0, 0]), label) for image, label in flow] == [(1, 1), (2, 0)]


def test_a_mapper_decodes_the_files(images, meta):
    flow = dataset.ILSVRC12Files(images, "train", meta, shuffle=False)

    def read(path, label):
        ((image,),) = hr.ImageFromFile([path])
        return [image, label]

    with hr.MultiProcessMapData(flow, 2, read) as mapped:
        assert [(image[0, 0].tolist(), label) for image, label in mapped] == [([30, 20, 10], 0), ([60, 50, 40], 1)]


def test_meta_names_and_mean(meta, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_DATASET", str(tmp_path))
    meta.rename(tmp_path / "ilsvrc_metadata")
    names = dataset.ILSVRCMeta()
    assert names.get_synset_1000() == dict(enumerate(SYNSETS))
    assert names.get_synset_words_1000()[1] == "n01443537 goldfish"
    mean = names.get_per_pixel_mean()
    assert mean.shape == (256, 256, 3)
    assert mean.dtype == np.float32
    assert mean[0, 2, 0] == 2
    assert mean[1, 0, 1] == (256 * 256 + 256) % 251
    assert names.get_per_pixel_mean((20, 30)).shape == (20, 30, 3)


def test_bad_files_of_ilsvrc(images, meta):
    (images / "train/n01443537/n01443537_2.JPEG").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    with pytest.raises(hr.FormatError, match=r"n01443537_2.JPEG: this JPEG of 10 bytes is truncated"):
        list(dataset.ILSVRC12(images, "train", meta))
    (images / "train/n01443537/n01443537_2.JPEG").unlink()
    with pytest.raises(FileNotFoundError, match=r"n01443537_2.JPEG is missing"):
        dataset.ILSVRC12(images, "train", meta)
    with pytest.raises(FileNotFoundError, match="test is no folder"):
        dataset.ILSVRC12(images, "test", meta)
    (meta / "val.txt").write_text("ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000002.JPEG\n")
    with pytest.raises(hr.FormatError, match=r"val.txt, line 2: expected a file and a number, got 'ILSVRC2012"):
        dataset.ILSVRC12(images, "val", meta)
    blob = meta / "imagenet_mean.binaryproto"
    for damage in (blob.read_bytes()[:1000], b"\xff" * 20, b"\x08"):
        blob.write_bytes(damage)
        with pytest.raises(hr.FormatError, match=r"imagenet_mean.binaryproto, offset"):
            dataset.ILSVRCMeta(meta).get_per_pixel_mean()
    (meta / "synsets.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"synsets.txt is missing; the data set is published at http"):
        dataset.ILSVRCMeta(meta)


def test_boxes_of_the_training_images(meta, tmp_path):
    box = "<object><name>x</name><bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4.5</ymax></bndbox></object>"
    folder = tmp_path / "boxes" / "n01440764"
    folder.mkdir(parents=True)
    annotation = folder / "n01440764_1.xml"
    annotation.write_text(f"<annotation><size/>{box.format(1)}{box.format(9)}</annotation>")
    images = dataset.ILSVRCMeta(meta).get_image_list("train")
    first, second = dataset.ILSVRC12.get_training_bbox(tmp_path / "boxes", images)
    assert (first.dtype, first.tolist(), second) == (np.float32, [1, 2, 3, 4.5], None)
    for damage in ("<annotation>", f"<annotation>{box.format('x')}</annotation>", "<a><object><bndbox/></object></a>"):
        annotation.write_text(damage)
        with pytest.raises(hr.FormatError, match=r"n01440764_1.xml: damaged, or no annotation"):
            dataset.ILSVRC12.get_training_bbox(str(tmp_path / "boxes"), images)


def tiny(tmp_path):
    folder = tmp_path / "tiny-imagenet-200"
    for label, synset in enumerate(SYNSETS):
        for n in range(3):
            write_image(folder / f"train/{synset}/images/{synset}_{n}.JPEG", 10 * label + n, (64, 64))
    for n in range(2):
        write_image(folder / f"val/images/val_{n}.JPEG", n, (64, 64))
    (folder / "wnids.txt").write_text("\n".join(SYNSETS))
    (folder / "val/val_annotations.txt").write_text(
        "val_0.JPEG\tn01443537\t0\t32\t44\t62\nval_1.JPEG\tn01440764\t52\t55\t57\t59\n"
    )
    return folder


def test_tiny_imagenet(tmp_path):
    folder = tiny(tmp_path)
    train = [(int(image[0, 0, 0]), label) for image, label in dataset.TinyImageNet(folder, "train", shuffle=False)]
    assert train == [(0, 0), (1, 0), (2, 0), (10, 1), (11, 1), (12, 1)]
    few = dataset.TinyImageNet(folder, "train", shuffle=False)
    assert few.imglist[3] == (str(few.full_dir / "n01443537/images/n01443537_0.JPEG"), 1)
    few.imglist = few.imglist[3:]  # as old projects do
    assert [int(image[0, 0, 0]) for image, _ in few] == [10, 11, 12]
    val = dataset.TinyImageNet(folder, "val")
    assert [(int(image[0, 0, 0]), label) for image, label in val] == [(0, 1), (1, 0)]
    (folder / "val/val_annotations.txt").write_text("val_0.JPEG\tn99\t0\t32\t44\t62\n")
    with pytest.raises(hr.FormatError, match=r"val_annotations.txt, line 1"):
        dataset.TinyImageNet(folder, "val")
    (folder / "wnids.txt").write_text("n7")
    with pytest.raises(FileNotFoundError, match="no images in"):
        dataset.TinyImageNet(folder, "train")


def test_places365(tmp_path):
    names = ["train/beach/00000001.jpg", "train/airfield/00000001.jpg", "train/beach/00000002.jpg"]
    for n, name in enumerate(names):
        write_image(tmp_path / name, n)
    (tmp_path / "train.txt").write_text("\n".join(names) + "\n")
    flow = dataset.Places365Standard(tmp_path, "train", shuffle=False)
    assert [(int(image[0, 0, 0]), label) for image, label in flow] == [(0, 1), (1, 0), (2, 1)]
    assert flow.get_label_names() == ["airfield", "beach"]
    (tmp_path / "val.txt").write_text("00000001.jpg\n")
    with pytest.raises(hr.FormatError, match=r"val.txt, line 1: expected val/CLASS/FILE"):
        dataset.Places365Standard(tmp_path, "val")
