"""Files from which a training run goes on bit for bit; see `skrl.callbacks.Checkpoint`."""

__all__: list[str] = []
