"""Network definitions in plain torch, one file each; they take tensors and give tensors."""
