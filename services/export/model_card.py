"""The model card: what an exported ensemble is, how good it is and how to use it, as Markdown."""

from __future__ import annotations

import html
from string import Template

from torch import nn

from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.trials.data.white import FEW, FULL
from convscout.trials.evaluation.tta import VIEWS

CARD_FILE = "README.md"  # in an export
_CARD = Template("""\
---
pipeline_tag: image-classification
library_name: onnx
tags: [image-classification, ensemble, convscout]
---

# $study

A convolutional image classifier found by convscout: the networks below, which answer together. It knows
$num_classes classes: $class_names.

| | |
|---|---|
| data | $data |
| SHA-256 of the data | `$fingerprint` |
| input | $colours images of any size; the networks see $image_size × $image_size pixels |
| parameters | $num_params |

## Scores

| metric | value |
|---|---|
$metrics

The members, their weights and temperatures were chosen by the validation images, so those scores are optimistic. Those
called `corrected` are what the best single network should be worth on other images, after its choice among the trials;
`unseen` is of validation images that the selection had not seen. Test images took no part in any choice.

## Limits of use

It knows these classes alone and answers one of them whatever it is shown. Its scores hold for images like those it was
made from; on others, judge it first: `convscout evaluate DIR --data folder:PATH`.

## Members

| trial | network | looks at an image | family | parameters | weight | temperature |
|---|---|---|---|---|---|---|
$members

A network is that of the trial's best epoch, the same without the average over training steps (raw), or the mean of its
best epochs (soup). What it says at each look is averaged, and divided by its temperature. The weighted mean of their
$pooled is brought to a temperature of $temperature.

## Use

On the command line, with nothing but onnxruntime, numpy and pillow:

    pip install onnxruntime numpy pillow
    python predict.py IMAGE…

In Python:

    import onnxruntime
    session = onnxruntime.InferenceSession("model.onnx")
    (probabilities,) = session.run(["probabilities"], {"images": images})

`images` is an array (N, height, width, $in_channels) of uint8, of any size, in which 255 is white; `probabilities` is
(N, $num_classes) float32, one column a class in the order above. Normalisation is part of the model, and so is
resizing: it sees the square in the middle. Its metadata holds `class_names` (JSON), `image_size`, `in_channels` and
`white`.

`predict.py` does as was done for training: it squares an image by cropping its longer side about the centre, then
resizes it bicubically.
Transparency is laid on white, or on black where white would hide the whole picture, and EXIF orientation is obeyed.
$levels

## Checks

`sha256sum -c SHA256SUMS` shows whether every file is as it was written. `parity.json` tells how far the
answers of each format were from the trained networks' on validation images, before it was put in place.
""")


def model_card(ensemble: TrainedEnsemble) -> str:
    """The card of ``ensemble``."""
    image = ensemble.image
    sizes = {member.name: _num_params(member.build(image)) for member in ensemble.members}
    return _CARD.substitute(
        study=_plain(ensemble.study),
        data=_plain(ensemble.data),
        fingerprint=ensemble.fingerprint,
        colours="grey" if image.in_channels == 1 else "RGB",
        image_size=image.image_size,
        in_channels=image.in_channels,
        num_classes=image.num_classes,
        levels=_levels(ensemble.white),
        num_params=f"{sum(sizes.values()):,}",
        class_names=", ".join(map(_plain, ensemble.class_names)),
        metrics="\n".join(f"| {_plain(name)} | {value:.4f} |" for name, value in ensemble.metrics.items()),
        temperature=f"{ensemble.temperature:.2f}",
        members="\n".join(
            f"| {m.number} | {m.network} | {VIEWS[m.view].passes}, {m.view} | {m.architecture.name} | "
            f"{sizes[m.name]:,} | {m.weight:.2f} | {m.temperature:.2f} |"
            for m in ensemble.members
        ),
        pooled="log probabilities, with a bias of each class," if ensemble.biases else "probabilities",
    )


def _levels(white: int) -> str:
    """How levels are read that are not of 8 bits, or few."""
    if white == FULL:
        return "16-bit levels keep their high byte."
    few = f" A picture of 8 bits is read so, too, if it has no level above {white}." if white <= FEW else ""
    return (
        f"The images that it learnt from had {white} for white, and so have pictures with 16 bits a level: {white} "
        f"becomes 255, the others in proportion, and a picture with higher ones is refused.{few}"
    )


def _num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _plain(name: str) -> str:
    """A name that a stranger chose, as text that neither HTML nor a Markdown table reads anything into."""
    return html.escape(name).replace("|", "&#124;")
