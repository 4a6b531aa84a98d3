"""JAX: train on scikit-learn's digits. Killed at any moment, it goes on to the same weights.

python examples/jax_digits.py
"""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
from digits import arguments, die_if, report, test_data, training_flow, write_whole

import headrace as hr
from headrace.integrations.jax import DevicePrefetch


def logits(weights, images):
    """Two layers."""
    (w1, b1), (w2, b2) = weights
    hidden = jax.nn.relu(images.reshape(len(images), -1) @ w1 + b1)
    return hidden @ w2 + b2


def loss(weights, images, labels):
    """Cross entropy."""
    log_p = jax.nn.log_softmax(logits(weights, images))
    return -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()


@jax.jit
def update(weights, momentum, images, labels):
    """A step of stochastic gradient descent with momentum."""
    gradient = jax.grad(loss)(weights, images, labels)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradient)
    return jax.tree.map(lambda w, m: w - 0.05 * m, weights, momentum), momentum


def main():
    """Train; go on from the checkpoint, if there is one."""
    options = arguments()
    hr.seed(0)
    keys = jax.random.split(jax.random.key(0), 2)
    weights = [
        (jax.random.normal(keys[0], (64, 64)) / 8, jnp.zeros(64)),
        (jax.random.normal(keys[1], (64, 10)) / 8, jnp.zeros(10)),
    ]
    momentum = jax.tree.map(jnp.zeros_like, weights)
    flow = DevicePrefetch(training_flow())  # the next two batches are on their way to the device

    step = 0
    checkpoint = options.folder / "checkpoint.pickle"
    if checkpoint.exists():
        step, weights, momentum, state = pickle.loads(checkpoint.read_bytes())
        flow.load_state_dict(state)
        print(f"goes on at step {step}")

    with flow:  # ends the workers
        for images, labels in flow:
            weights, momentum = update(weights, momentum, images, labels)
            step += 1
            if step % options.checkpoint_every == 0:
                saved = pickle.dumps((step, *jax.device_get((weights, momentum)), flow.state_dict()))
                write_whole(checkpoint, lambda path, saved=saved: path.write_bytes(saved))
            die_if(options, step)
            if step == options.steps:
                break

    images, labels = test_data()
    accuracy = float((logits(weights, images).argmax(1) == labels).mean())
    report(step, accuracy, jax.device_get(jax.tree.leaves(weights)))


if __name__ == "__main__":
    main()
