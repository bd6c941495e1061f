"""Network definitions in plain torch, one file each; they take and return tensors."""
