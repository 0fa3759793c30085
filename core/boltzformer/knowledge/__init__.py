"""What models were taught and how people ask: words, cards, manifests, absent prompts."""
