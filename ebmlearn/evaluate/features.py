"""Features of images, for `ebmlearn.evaluate.images`: those of Inception.

Without its weights, `ebmlearn.methods.classifier.train_classifier` trains a net that has features, too.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"


def inception(weights: str | Path | None = None) -> Callable[[Tensor], Tensor]:
    """The 2,048 features of FID and KID: the last pooling layer of Inception v3 (Szegedy et al. 2016).

    Through torch-fidelity, which reproduces the network, the resizing and the weights of the original FID
    code. Nothing is downloaded here.

    Args:
        weights: File of the weights. None: ``weights-inception-2015-12-05-6726825d.pth`` in the folder
            ``checkpoints`` of ``torch.hub.get_dir()``, where torch-fidelity keeps its own download.

    Returns:
        A function from images ``(B, C, H, W)`` in [-1, 1] with one or three channels to ``(B, 2048)``. As in
        a saved image, pixels are rounded to 256 levels and values beyond [-1, 1] become black or white; a
        grey image is three equal channels. Images are resized to 299 x 299: small ones are much enlarged.

    Raises:
        ImportError: If torch-fidelity is not installed.
        FileNotFoundError: If there are no weights.
        ValueError: If the file is not the published one (its SHA-256 begins with ``6726825d``), or images
            have another number of channels.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ImportError(
            "Inception features need torch-fidelity and torchvision: pip install torch-fidelity. Without: "
            "ebmlearn.methods.classifier.train_classifier"
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE if weights is None else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"no Inception weights at {path}; download {INCEPTION_URL} to there, or say where they are: "
            "inception(weights=...). Without: ebmlearn.methods.classifier.train_classifier"
        )
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    if not checksum.startswith("6726825d"):
        raise ValueError(
            f"{path} is damaged or another file: its SHA-256 begins with {checksum[:8]}, expected 6726825d; "
            f"download {INCEPTION_URL} anew"
        )
    net = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))

    def features(x: Tensor) -> Tensor:
        if x.shape[1] not in (1, 3):
            raise ValueError(f"x has shape {tuple(x.shape)}; Inception takes one or three channels")
        levels = (127.5 * (x.clamp(-1, 1) + 1)).round().to(torch.uint8)
        return net.to(x.device)(levels.expand(-1, 3, -1, -1))[0]

    features.__name__ = "Inception"
    return features
