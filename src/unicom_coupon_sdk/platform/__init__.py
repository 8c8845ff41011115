"""What a platform offers to the core: effects, the adapter protocol, the dated profile, the registry."""
