"""The parts of the POS host: its book, its desk, its terminals' day. ``host`` puts them on a socket."""
