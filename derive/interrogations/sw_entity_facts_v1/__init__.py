"""The built-in interrogation: facts about one Star Wars entity, each with the words that prove it."""
