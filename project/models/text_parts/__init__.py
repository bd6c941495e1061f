"""Parts of models of text: what is readable of a mail, its n-grams, the sum of their weights."""
