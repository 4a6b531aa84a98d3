"""Lightning: train on scikit-learn's digits. Killed at any moment, it goes on to the same weights.

    python examples/lightning_digits.py

Lightning saves the state of what it is given to train on, if that has ``state_dict`` and ``load_state_dict``, as
`to_torch` has; so there is nothing to be written for it.
"""

from __future__ import annotations

import logging
import warnings

import lightning
import torch
from digits import arguments, die_if, report, test_data, training_flow
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

import headrace as hr
from headrace.integrations.torch import tensors, to_torch


class Digits(lightning.LightningModule):
    """Two layers."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
        )

    def training_step(self, batch, _):
        """The loss of a batch."""
        images, labels = batch
        return torch.nn.functional.cross_entropy(self.layers(images), labels.long())

    def configure_optimizers(self):
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


class Die(Callback):
    """Kill this process at the chosen step."""

    def __init__(self, options):
        self.options = options

    def on_train_batch_end(self, trainer, *_):
        """Called after each step."""
        die_if(self.options, trainer.global_step)


def main():
    """Train; go on from the last checkpoint, if there is one."""
    options = arguments()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
    hr.seed(0)
    lightning.seed_everything(0, verbose=False)
    torch.set_num_threads(1)  # sums in one order
    model = Digits()
    saves = ModelCheckpoint(options.folder, "{step:08}", every_n_train_steps=options.checkpoint_every, save_top_k=-1)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=options.steps,
        callbacks=[saves, Die(options)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    checkpoints = sorted(options.folder.glob("*.ckpt"))
    if checkpoints:
        print(f"goes on from {checkpoints[-1].name}")
    # A flow with a length: without one, Lightning reads a batch ahead, and the state of the flow would be ahead, too.
    with training_flow(passes=20) as flow:  # ends the workers
        trainer.fit(model, to_torch(flow), ckpt_path=checkpoints[-1] if checkpoints else None)

    images, labels = tensors(test_data())
    with torch.no_grad():
        accuracy = (model.layers(images).argmax(1) == labels).double().mean().item()
    report(trainer.global_step, accuracy, [p.detach().numpy() for p in model.parameters()])


if __name__ == "__main__":
    main()
