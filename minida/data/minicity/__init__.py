"""MiniCity, the embedded data set: procedural street scenes with exact labels, in two domains of one world."""

from minida.data.minicity.dataset import MiniCity, world_hash

__all__ = ["MiniCity", "world_hash"]
