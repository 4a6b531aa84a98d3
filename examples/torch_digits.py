"""PyTorch: train on scikit-learn's digits. Killed at any moment, it goes on to the same weights.

python examples/torch_digits.py
"""

from __future__ import annotations

import torch
from digits import arguments, die_if, report, test_data, training_flow, write_whole

import headrace as hr
from headrace.integrations.torch import DevicePrefetch, tensors


def main():
    """Train; go on from the checkpoint, if there is one."""
    options = arguments()
    hr.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums in one order
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    flow = DevicePrefetch(training_flow(), device, depth=2)  # the next two batches are on their way to the GPU

    step = 0
    checkpoint = options.folder / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        step = saved["step"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        flow.load_state_dict(saved["flow"])
        print(f"goes on at step {step}")

    with flow:  # ends the workers
        for images, labels in flow:
            loss = torch.nn.functional.cross_entropy(model(images), labels.long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % options.checkpoint_every == 0:
                saved = {
                    "step": step,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "flow": flow.state_dict(),
                }
                write_whole(checkpoint, lambda path, saved=saved: torch.save(saved, path))
            die_if(options, step)
            if step == options.steps:
                break

    images, labels = tensors(test_data())
    with torch.no_grad():
        accuracy = (model(images.to(device)).argmax(1).cpu() == labels).double().mean().item()
    report(step, accuracy, [p.detach().cpu().numpy() for p in model.parameters()])


if __name__ == "__main__":
    main()
