"""The updates of ``pixels.py`` in PyTorch: ``pixels_torch.py SIZE BATCH K CALLS``.

The same network (`skrl.qfunctions.deep.networks.convolutional_network`), Adam, Huber loss and a
target network that rests meanwhile.
"""

import argparse
import json
from time import perf_counter

import torch
from torch import nn

N_ACTIONS = 6


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis, as TensorFlow's "same" padding has them."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def make_network(size: int) -> nn.Module:
    kernel, stride = (8, 4) if size >= 40 else (3, 1)
    layers: list[nn.Module] = []
    length, channels = size, 4
    for filters, k, s in ((16, kernel, stride), (32, 4, 2)):
        before, after = same_padding(length, k, s)
        if before == after:
            layers.append(nn.Conv2d(channels, filters, k, s, padding=before))
        else:
            layers.append(nn.ZeroPad2d((before, after, before, after)))
            layers.append(nn.Conv2d(channels, filters, k, s))
        layers.append(nn.ReLU())
        length, channels = -(-length // s), filters
    n_features = length * length * channels
    dense = nn.Flatten(), nn.Linear(n_features, 256), nn.ReLU(), nn.Linear(256, N_ACTIONS)
    return nn.Sequential(*layers, *dense)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("size", "batch", "k", "calls"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    size, B, K = arguments.size, arguments.batch, arguments.k

    torch.manual_seed(0)
    network, target = make_network(size), make_network(size)
    target.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    states, next_states = torch.randint(0, 256, (2, K, B, 4, size, size), dtype=torch.uint8)
    actions = torch.randint(0, N_ACTIONS, (K, B, 1))
    rewards, discounts = torch.ones(K, B), torch.full((K, B), 0.99)

    def update(k: int) -> None:
        with torch.no_grad():
            bootstrap = target(next_states[k].float() / 255).max(1).values
            targets = rewards[k] + discounts[k] * bootstrap
        values = network(states[k].float() / 255).gather(1, actions[k])[:, 0]
        loss = nn.functional.smooth_l1_loss(values, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    times = []
    for _ in range(arguments.calls + 1):  # the first one warms up
        begin = perf_counter()
        for k in range(K):
            update(k)
        times.append(perf_counter() - begin)
    print(json.dumps({"update_ms": min(times[1:]) / K * 1e3, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
