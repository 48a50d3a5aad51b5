"""Dataset formats: how a shard becomes samples, and samples the same shard again."""
