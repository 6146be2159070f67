"""What transforms: the pure domain model, the codec, keyed state, and the stream operators around them."""
