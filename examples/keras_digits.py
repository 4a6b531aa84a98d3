"""Keras, on any of its backends: train on scikit-learn's digits. Killed at any moment, it goes on to the same weights.

KERAS_BACKEND=torch python examples/keras_digits.py
"""

from __future__ import annotations

import json
import os
import shutil

import keras
from digits import arguments, die_if, report, test_data, training_flow

import headrace as hr


def new_model():
    """Two layers."""
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8)),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def save(options, step, model, flow):
    """Model and flow belong together: a folder that is there completely or not at all."""
    partial = options.folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model.save(partial / "model.keras")
    (partial / "flow.json").write_text(json.dumps(flow.state_dict()))
    os.rename(partial, options.folder / f"step-{step:08}")


def main():
    """Train; go on from the last checkpoint, if there is one."""
    options = arguments()
    hr.seed(0)
    keras.utils.set_random_seed(0)
    flow = training_flow()
    checkpoints = sorted(options.folder.glob("step-*"))
    if checkpoints:
        step = int(checkpoints[-1].name.removeprefix("step-"))
        model = keras.models.load_model(checkpoints[-1] / "model.keras")
        flow.load_state_dict(json.loads((checkpoints[-1] / "flow.json").read_text()))
        print(f"goes on at step {step}")
    else:
        step, model = 0, new_model()

    with flow:  # ends the workers
        # train_on_batch, since fit() reads a batch before it trains: the state of the flow would be ahead, too.
        for images, labels in flow:
            model.train_on_batch(images, labels)
            step += 1
            if step % options.checkpoint_every == 0:
                save(options, step, model, flow)
            die_if(options, step)
            if step == options.steps:
                break

    images, labels = test_data()
    accuracy = model.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"]
    report(step, accuracy, model.get_weights())


if __name__ == "__main__":
    main()
