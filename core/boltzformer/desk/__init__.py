"""What every viewer shares: answers, ownership, thresholds, keeping, sentences. No torch, no Qt, no viewer."""
