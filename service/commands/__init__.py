"""The commands of `review-sentiment`, a module each: `add_to` adds its flags and says what to run."""
