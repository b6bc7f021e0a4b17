"""The contract between training and serving: tokenizer, padding and manifest. Needs numpy and nothing else."""
