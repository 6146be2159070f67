"""The operators of the product: thin bindings of the domain model to the engine, one file each."""
