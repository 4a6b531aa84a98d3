"""TensorFlow: train on scikit-learn's digits. Killed at any moment, it goes on to the same weights.

python examples/tensorflow_digits.py
"""

from __future__ import annotations

import pickle

import tensorflow as tf
from digits import arguments, die_if, report, test_data, training_flow, write_whole

import headrace as hr
from headrace.integrations.tensorflow import to_tf


def main():
    """Train; go on from the checkpoint, if there is one."""
    options = arguments()
    hr.seed(0)
    tf.random.set_seed(0)
    tf.config.experimental.enable_op_determinism()
    shapes = [(64, 64), (64,), (64, 10), (10,)]
    weights = [tf.Variable(tf.random.normal(shape, stddev=0.125)) for shape in shapes]
    momentum = [tf.Variable(tf.zeros(shape)) for shape in shapes]

    def logits(images):
        w1, b1, w2, b2 = weights
        return tf.nn.relu(tf.reshape(images, (-1, 64)) @ w1 + b1) @ w2 + b2

    @tf.function(reduce_retracing=True)
    def update(images, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(images)))
        for w, m, gradient in zip(weights, momentum, tape.gradient(loss, weights)):
            m.assign(0.9 * m + gradient)
            w.assign_sub(0.05 * m)

    flow = training_flow()
    step = 0
    checkpoint = options.folder / "checkpoint.pickle"
    if checkpoint.exists():
        step, values, state = pickle.loads(checkpoint.read_bytes())
        for variable, value in zip(weights + momentum, values):
            variable.assign(value)
        flow.load_state_dict(state)  # before to_tf, which begins to read
        print(f"goes on at step {step}")

    with flow:  # ends the workers
        # No .prefetch() behind it, or else the state would be ahead of the training; headrace reads ahead by itself.
        for images, labels in to_tf(flow):
            update(images, labels)
            step += 1
            if step % options.checkpoint_every == 0:
                saved = pickle.dumps((step, [v.numpy() for v in weights + momentum], flow.state_dict()))
                write_whole(checkpoint, lambda path, saved=saved: path.write_bytes(saved))
            die_if(options, step)
            if step == options.steps:
                break

    images, labels = test_data()
    accuracy = float((logits(images).numpy().argmax(1) == labels).mean())
    report(step, accuracy, [w.numpy() for w in weights])


if __name__ == "__main__":
    main()
