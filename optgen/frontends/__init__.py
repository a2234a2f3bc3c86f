"""Writers of framework classes: from a rule's declarations to the text of a typed, documented optimizer."""
