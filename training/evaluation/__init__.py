"""The paper's experiments on any face dataset, for any generator, any classic method and any recognizers."""
