"""Trains, scores and applies a network of one's own in a few lines: python train_my_network.py"""

import argparse

from my_parts.degradations import Speckle
from my_parts.losses import Cauchy
from my_parts.networks import GatedNet

import ms_restore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output_dir", default="runs/gated")
    options = parser.parse_args()
    run = ms_restore.train(
        GatedNet(width=16),
        degradation=Speckle(strength=0.2),
        loss=Cauchy(),
        steps=options.steps,
        output_dir=options.output_dir,
        settings={"data.patch_size": 48, "train.batch_size": 8, "train.lr": 1e-3},
    )
    metrics = ms_restore.evaluate(run.folder)
    print(f"{metrics['mean']['baseline_psnr']:.2f} -> {metrics['mean']['psnr']:.2f} dB")


if __name__ == "__main__":
    main()
